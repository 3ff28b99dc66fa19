//! Logins on real processes, with a real mail server: a password for when the key is lost, and mail for when the password is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use holdfast_integration_tests::{
    cluster::{Account, Cluster},
    mail_server::MailServer,
    wait::time_until,
};
use serde_json::Value;
use tempfile::tempdir;

const GOOD: &str = "correct horse battery";
const NEW: &str = "staple of another kind";

fn cluster(dir: &Path, mail: Option<&str>) -> (Cluster, Account) {
    let (mut cluster, ann) = Cluster::with_account(dir, 1, 2).unwrap();
    if let Some(mail) = mail {
        let node = &mut cluster.nodes[0];
        node.configure(&format!("[mail]\nfrom = \"Holdfast <holdfast@example.org>\"\n{mail}")).unwrap();
        node.stop().unwrap();
        node.start_and_wait().unwrap();
    }
    (cluster, ann)
}

/// A file that only its owner can read.
fn secret(cluster: &Cluster, name: &str, text: &str) -> String {
    let file = cluster.path(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

fn json(account: &Account, arguments: &[&str]) -> Value {
    account.holdfast().json(arguments).unwrap()
}

fn create(cluster: &Cluster, ann: &Account) {
    let password = secret(cluster, "password", GOOD);
    json(ann, &["login", "create", "Ann@Example.org", "--password-file", &password]);
}

/// Signs in on another machine, which knows nothing but where the cluster is.
fn sign_in(
    cluster: &Cluster,
    ann: &Account,
    machine: &str,
    name: &str,
    password: &str,
) -> (Account, Vec<String>) {
    let password = secret(cluster, &format!("{machine}-password"), password);
    let mut arguments: Vec<_> =
        ["login", "sign-in", name, "--password-file", &password].map(str::to_owned).into();
    arguments.extend(cluster.place_of(machine).unwrap());
    (cluster.device_of(ann, machine), arguments)
}

/// The code in a mail.
fn code(mail: &str) -> String {
    mail.lines().map(str::trim).find(|line| line.len() == 64).unwrap().to_owned()
}

fn everything_logged(cluster: &mut Cluster) -> String {
    let logs = cluster.servers().map(|server| fs::read_to_string(server.log()).unwrap());
    let logs: String = logs.collect();
    logs + &fs::read_to_string(cluster.path("calls.log")).unwrap()
}

#[test]
fn a_password_admits_a_key_on_another_machine_and_mail_sets_a_new_password() {
    let dir = tempdir().unwrap();
    let mail = MailServer::start(&dir.path().join("exim.log")).unwrap();
    let server = format!("server = \"127.0.0.1\"\nport = {}\n", mail.port());
    let (mut cluster, ann) = cluster(&dir.path().join("cluster"), Some(&server));
    let report = cluster.path("report");
    fs::write(&report, "what is mine").unwrap();
    json(&ann, &["files", "put", &report.display().to_string(), "--as", "report"]);
    create(&cluster, &ann);

    // The address.
    json(&ann, &["login", "verify", "ann@example.org", "--email", "ann@example.org"]);
    let verification = code(&mail.mail(1).unwrap());
    let file = secret(&cluster, "code", &verification);
    let shown = json(&ann, &["login", "verify", "ann@example.org", "--code-file", &file]);
    assert_eq!(shown["login"]["email"], "ann@example.org");

    // The key is lost; the password brings another.
    fs::remove_dir_all(cluster.credential_of("ann")).unwrap();
    let (laptop, arguments) = sign_in(&cluster, &ann, "laptop", "ann@example.org", GOOD);
    let shown = laptop.holdfast().json(&arguments).unwrap();
    assert_eq!(shown["account"], ann.id.to_string());
    let got = cluster.fetched("report").unwrap();
    json(&laptop, &["files", "get", "report", "-O", &got.display().to_string()]);
    assert_eq!(fs::read_to_string(got).unwrap(), "what is mine");

    // It is a key for some hours, and not one to change the account with.
    let devices = json(&laptop, &["client", "device", "list"]);
    let own = devices["devices"].as_array().unwrap().iter().find(|device| device["own"] == true).unwrap();
    assert!(own["expires"].is_string(), "{devices}");
    let answer = laptop.holdfast().run(["login", "remove", "ann@example.org"]).unwrap();
    answer.expect_refusal("not_permitted").unwrap();

    // The password is lost, too; the mail brings another.
    let cluster_args = |machine: &str| {
        let place = cluster.place_of(machine).unwrap();
        let credential = place.iter().position(|argument| argument == "--credential").unwrap();
        [&place[..credential], &place[credential + 2..]].concat()
    };
    let reset = |more: &[&str]| {
        let mut arguments: Vec<_> = ["login", "reset", "ann@example.org"].map(str::to_owned).into();
        arguments.extend(cluster_args("phone"));
        arguments.extend(more.iter().map(|&more| more.to_owned()));
        cluster.holdfast().run(&arguments).unwrap()
    };
    assert_eq!(reset(&[]).code, 0);
    let reset_code = code(&mail.mail(2).unwrap());
    let (code_file, new) = (secret(&cluster, "code", &reset_code), secret(&cluster, "new", NEW));
    assert_eq!(reset(&["--code-file", &code_file, "--password-file", &new]).code, 0);
    reset(&["--code-file", &code_file, "--password-file", &new]).expect_refusal("code_unknown").unwrap();
    let (phone, arguments) = sign_in(&cluster, &ann, "phone", "ann@example.org", GOOD);
    phone.holdfast().run(&arguments).unwrap().expect_refusal("sign_in_refused").unwrap();
    let (phone, arguments) = sign_in(&cluster, &ann, "phone", "ann@example.org", NEW);
    phone.holdfast().json(&arguments).unwrap();

    let logged = everything_logged(&mut cluster);
    for secret in [&*verification, &reset_code, GOOD, NEW] {
        assert!(!logged.contains(secret), "logged: {secret}");
    }
}

#[test]
fn guessing_locks_a_login_and_unknown_names_are_answered_alike() {
    let dir = tempdir().unwrap();
    let (cluster, ann) = cluster(dir.path(), None);
    create(&cluster, &ann);
    for number in 0..5 {
        for name in ["ann@example.org", "nobody@example.org"] {
            let (machine, arguments) =
                sign_in(&cluster, &ann, &format!("guess-{number}"), name, "wrong password");
            let answer = machine.holdfast().run(&arguments).unwrap();
            answer.expect_refusal("sign_in_refused").unwrap();
        }
    }
    let (machine, arguments) = sign_in(&cluster, &ann, "laptop", "ann@example.org", GOOD);
    machine.holdfast().run(&arguments).unwrap().expect_refusal("sign_in_refused").unwrap();
    let waited = time_until(Duration::from_secs(25), "the end of the lock-out", || {
        Ok(machine.holdfast().run(&arguments)?.code == 0)
    });
    assert!(waited.unwrap() > Duration::from_secs(5), "locked for a while");
    let answer = ann.holdfast().run(["login", "verify", "ann@example.org", "--email", "ann@example.org"]);
    answer.unwrap().expect_refusal("not_configured").unwrap();
}

#[test]
fn mail_that_leaves_the_machine_goes_over_tls_to_the_server_whose_certificate_is_good() {
    let dir = tempdir().unwrap();
    let mail = MailServer::start(&dir.path().join("exim.log")).unwrap();
    let port = mail.port();
    let trusted = format!("server = \"localhost\"\nport = {port}\nca_file = \"{}\"\n", mail.root().display());
    let (mut cluster, ann) = cluster(&dir.path().join("cluster"), Some(&trusted));
    create(&cluster, &ann);
    let ask = ["login", "verify", "ann@example.org", "--email", "ann@example.org"];
    json(&ann, &ask);
    assert!(mail.mail(1).unwrap().contains("To: ann@example.org"));
    assert!(mail.log().unwrap().contains("X=TLS1.3"), "{}", mail.log().unwrap());
    // The same server, whose certificate none of the web's roots vouches for.
    let node = &mut cluster.nodes[0];
    let web = format!("server = \"localhost\"\nport = {port}\n");
    node.configure(&format!("[mail]\nfrom = \"Holdfast <holdfast@example.org>\"\n{web}")).unwrap();
    node.stop().unwrap();
    node.start_and_wait().unwrap();
    ann.holdfast().run(ask).unwrap().expect_refusal("mail_unsent").unwrap();
    assert_eq!(mail.mails().unwrap().len(), 1);
}
