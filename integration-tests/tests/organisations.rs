//! Organisations on real processes: two accounts, what they share, and what a member loses when he goes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{fs, path::Path, time::Duration};

use holdfast_domain::OrgId;
use holdfast_integration_tests::{
    cluster::{Account, Cluster},
    wait::time_until,
};
use serde_json::Value;
use tempfile::tempdir;

/// How long a right that was taken may last.
const AT_MOST: Duration = Duration::from_secs(2);

fn two_accounts(dir: &Path) -> (Cluster, Account, Account) {
    let (cluster, ann) = Cluster::with_account(dir, 1, 2).unwrap();
    let ben = cluster.add_account("ben", "1GiB").unwrap();
    (cluster, ann, ben)
}

fn json(account: &Account, arguments: &[&str]) -> Value {
    account.holdfast().json(arguments).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

fn create(owner: &Account) -> String {
    text(&json(owner, &["org", "create", "Acme"]), "/organisation/id").to_owned()
}

/// The places that `holdfast capabilities` shows to be open in an organisation's files.
fn open_places(account: &Account, org: &str) -> Vec<String> {
    let shown = json(account, &["capabilities", "--home", org]);
    let paths = shown["screens"].as_array().unwrap().iter().map(|screen| text(screen, "/path").to_owned());
    paths.filter(|path| path.starts_with("/files")).collect()
}

/// How long it takes until a call is refused for want of rights.
fn refused_after(account: &Account, arguments: &[&str]) -> Duration {
    time_until(AT_MOST, "a refusal", || {
        let finished = account.holdfast().run(arguments)?;
        Ok(finished.code == 3 && finished.said().contains("not_permitted"))
    })
    .unwrap()
}

#[test]
fn an_organisation_from_its_making_to_its_end() {
    let dir = tempdir().unwrap();
    let (_cluster, ann, ben) = two_accounts(dir.path());
    let ben_id = ben.id.to_string();
    let org = &create(&ann);
    assert_eq!(text(&json(&ann, &["org", "show", org]), "/organisation/owner"), ann.id.to_string());

    // A stranger: nothing.
    for arguments in [
        &["org", "show", org][..],
        &["project", "list", org],
        &["project", "create", org, "Mine"],
        &["member", "list", org, "--all"],
        &["member", "put", org, "me", "--role", "admin"],
        &["org", "delete", org],
    ] {
        ben.holdfast().refused(arguments, "not_permitted").unwrap();
    }

    // A project's admin: that project.
    json(&ann, &["project", "create", org, "Website"]);
    json(&ann, &["project", "create", org, "Shop"]);
    ann.holdfast().refused(["project", "create", org, "Shop"], "already_exists").unwrap();
    json(&ann, &["member", "put", org, &ben_id, "--role", "admin", "--project", "Website"]);
    let seen = json(&ben, &["project", "list", org]);
    assert_eq!(seen["projects"].as_array().unwrap().len(), 1);
    assert_eq!(text(&seen, "/projects/0/name"), "Website");
    let members = json(&ben, &["member", "list", org, "--project", "Website"]);
    assert_eq!(text(&members, "/members/0/role"), "admin");
    assert_eq!(json(&ben, &["member", "list", org])["members"], serde_json::json!([]));
    let other = "ab".repeat(16);
    ben.holdfast().refused(["member", "put", org, &other, "--role", "guest"], "not_permitted").unwrap();
    json(&ben, &["member", "put", org, &other, "--role", "user", "--project", "Website"]);

    // Removed: nothing again, and soon.
    json(&ann, &["member", "remove", org, &ben_id, "--project", "Website"]);
    refused_after(&ben, &["project", "list", org]);

    // A member of the organisation comes to own it, and ends it.
    json(&ann, &["member", "put", org, &ben_id, "--role", "user"]);
    assert_eq!(json(&ben, &["project", "list", org])["projects"].as_array().unwrap().len(), 2);
    json(&ann, &["org", "transfer", org, &ben_id]);
    ann.holdfast().refused(["org", "show", org], "not_permitted").unwrap();
    json(&ben, &["project", "rename", org, "Shop", "Store"]);
    ben.holdfast().refused(["org", "delete", org], "not_empty").unwrap();
    for project in ["Website", "Store"] {
        json(&ben, &["project", "delete", org, project]);
    }
    assert_eq!(json(&ben, &["member", "list", org, "--all"])["members"].as_array().unwrap().len(), 1);
    json(&ben, &["member", "remove", org, "me"]);
    json(&ben, &["org", "delete", org]);
    refused_after(&ben, &["org", "show", org]);
}

#[test]
fn members_share_an_organisations_files_until_they_are_removed() {
    let dir = tempdir().unwrap();
    let (cluster, ann, ben) = two_accounts(dir.path());
    let (org, ben_id, file) = (&create(&ann), ben.id.to_string(), cluster.path("plan.txt"));
    let list = ["files", "--home", org, "ls"];
    fs::write(&file, "the plan").unwrap();
    let put = ["files", "--home", org, "put", file.to_str().unwrap(), "--as", "plan.txt"];
    ann.holdfast().ok(put).unwrap();
    ben.holdfast().refused(list, "not_permitted").unwrap();
    assert_eq!(open_places(&ben, org), Vec::<String>::new());
    json(&ann, &["member", "put", org, &ben_id, "--role", "guest"]);
    assert_eq!(open_places(&ben, org), ["/files", "/files/usage"]);
    assert_eq!(ben.holdfast().ok(list).unwrap(), "plan.txt\n");
    ben.holdfast().refused(put, "not_permitted").unwrap();
    json(&ann, &["member", "put", org, &ben_id, "--role", "user"]);
    assert_eq!(open_places(&ben, org), ["/files", "/files/upload", "/files/usage"]);
    ben.holdfast().ok(put).unwrap();
    json(&ann, &["member", "remove", org, &ben_id]);
    refused_after(&ben, &list);
    // Each account's own are its own.
    assert_eq!(ann.holdfast().ok(["files", "ls"]).unwrap(), "");
}

#[test]
fn an_organisation_that_takes_the_id_of_an_account_is_another_home() {
    let dir = tempdir().unwrap();
    let (cluster, ann, ben) = two_accounts(dir.path());
    let file = cluster.path("secret.txt");
    fs::write(&file, "only mine").unwrap();
    ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", "secret.txt"]).unwrap();

    let stolen = OrgId::new(*ann.id.as_bytes());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let owner = runtime.block_on(async {
        let client = cluster.client(&ben, Duration::from_secs(30)).unwrap();
        client.organisation(stolen).create("Not yours").await.unwrap().owner
    });
    assert_eq!(owner, ben.id);
    let id = stolen.to_string();
    assert_eq!(ben.holdfast().ok(["files", "--home", &id, "ls"]).unwrap(), "");
    ben.holdfast().refused(["files", "--home", &id, "stat", "secret.txt"], "not_found").unwrap();
    ben.holdfast().ok(["files", "--home", &id, "put", file.to_str().unwrap(), "--as", "mine.txt"]).unwrap();
    assert_eq!(ann.holdfast().ok(["files", "ls"]).unwrap(), "secret.txt\n");
}
