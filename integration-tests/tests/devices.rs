//! Keys of an account and rights over accounts, on real processes: who is let in, who no more, and how soon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    fs,
    time::{Duration, Instant},
};

use holdfast_integration_tests::cluster::{Account, Cluster};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// How long a right that was taken may last.
const AT_MOST: Duration = Duration::from_secs(2);

struct World {
    dir: TempDir,
    cluster: Cluster,
    ann: Account,
}

impl World {
    fn new(voters: usize) -> Self {
        let dir = tempdir().unwrap();
        let cluster = Cluster::start(dir.path(), voters, 1).unwrap();
        cluster.create_groups(1).unwrap();
        let ann = cluster.add_account("ann", "1GiB").unwrap();
        Self { dir, cluster, ann }
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `holdfast` on a device that may not have a context yet.
    fn on(&self, context: &str, words: &[&str], options: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        all.extend(["--context".to_owned(), context.to_owned()]);
        all.extend(self.cluster.place_of(context).unwrap());
        all.extend(options.iter().map(|option| (*option).to_owned()));
        all
    }

    /// A device that a device of the account adds.
    fn add(&self, by: &Account, context: &str) -> Account {
        let (id, request) = (by.id.to_string(), self.file(context));
        let ask = self.on(context, &["client", "device", "request"], &["--account", &id, "--out", &request]);
        let asked = self.cluster.holdfast().json(&ask).unwrap();
        assert_eq!(asked["added"], false);
        let added = json(by, &["client", "device", "add", &request]);
        assert_eq!(added["added"]["key"], asked["key"], "people compare the key");
        let shown = self.cluster.holdfast().json(&ask).unwrap();
        assert_eq!(shown["account"], id);
        self.cluster.device_of(by, context)
    }

    fn put(&self, account: &Account, name: &str) {
        let file = self.file("to put");
        fs::write(&file, name).unwrap();
        account.holdfast().ok(["files", "put", &file, "--as", name]).unwrap();
    }

    /// How long until a node refuses the account's client.
    fn refused_after(&self, device: &Account) -> Duration {
        let began = Instant::now();
        loop {
            let finished = device.holdfast().run(["files", "ls"]).unwrap();
            if finished.code != 0 {
                finished.expect_refusal("banned").unwrap();
                return began.elapsed();
            }
            assert!(began.elapsed() < 2 * AT_MOST, "still let in");
        }
    }
}

fn json(account: &Account, arguments: &[&str]) -> Value {
    account.holdfast().json(arguments).unwrap()
}

fn names(account: &Account) -> String {
    account.holdfast().ok(["files", "ls"]).unwrap()
}

fn devices(account: &Account) -> Vec<Value> {
    json(account, &["client", "device", "list"])["devices"].as_array().unwrap().clone()
}

fn own(account: &Account) -> String {
    json(account, &["client", "show"])["client"].as_str().unwrap().to_owned()
}

#[test]
fn a_second_device_works_until_it_is_revoked() {
    let world = World::new(3);
    let phone = world.add(&world.ann, "phone");
    world.put(&world.ann, "from the laptop");
    world.put(&phone, "from the phone");
    assert!(names(&phone).contains("from the laptop") && names(&world.ann).contains("from the phone"));
    assert_eq!(devices(&phone).len(), 2);

    let id = own(&phone);
    json(&world.ann, &["client", "device", "revoke", &id]);
    assert!(world.refused_after(&phone) < AT_MOST);
    phone.holdfast().refused(["client", "renew"], "not_found").unwrap();
    phone.holdfast().refused(["client", "device", "list"], "banned").unwrap();
    assert_eq!(devices(&world.ann).len(), 1);
    assert!(names(&world.ann).contains("from the phone"), "what it wrote stays");
    let tablet = world.add(&world.ann, "tablet");
    json(&tablet, &["client", "device", "revoke", "me"]);
    assert!(world.refused_after(&tablet) < AT_MOST);
    world.ann.holdfast().refused(["client", "device", "revoke", "me"], "last_one").unwrap();
}

#[test]
fn a_rotated_key_is_the_old_ones_end() {
    let world = World::new(1);
    let before = own(&world.ann);
    // A copy of the old key, as a thief has it.
    let (credential, stolen) = (world.cluster.credential_of("ann"), world.cluster.credential_of("stolen"));
    fs::create_dir_all(&stolen).unwrap();
    for entry in fs::read_dir(&credential).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, stolen.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::set_permissions(&stolen, fs::metadata(&credential).unwrap().permissions()).unwrap();
    let rotated = json(&world.ann, &["client", "device", "rotate"]);
    assert_ne!(rotated["client"], before);
    world.put(&world.ann, "with the new key");
    assert_eq!(devices(&world.ann).len(), 1);
    fs::rename(&credential, world.file("new")).unwrap();
    fs::rename(&stolen, &credential).unwrap();
    assert!(world.refused_after(&world.ann) < AT_MOST);
    world.ann.holdfast().refused(["client", "renew"], "not_found").unwrap();
}

#[test]
fn an_account_whose_devices_are_lost_is_recovered_once() {
    let world = World::new(1);
    let (paper, next, last) = (world.file("recovery"), world.file("recovery-2"), world.file("recovery-3"));
    json(&world.ann, &["client", "recovery", "new", "--out", &paper]);
    world.put(&world.ann, "kept");
    let id = world.ann.id.to_string();
    let recover = |context: &str, used: &str, next: &str| {
        let options = ["--account", &id, "--recovery-file", used, "--next-out", next];
        world.on(context, &["client", "recovery", "use"], &options)
    };
    // Somebody else's recovery key, or none of this account's.
    let bob = world.cluster.add_account("bob", "1GiB").unwrap();
    let other = world.file("recovery-of-bob");
    json(&bob, &["client", "recovery", "new", "--out", &other]);
    let stolen = recover("thief", &other, &world.file("recovery-x"));
    world.cluster.holdfast().refused(&stolen, "proof_of_possession").unwrap();

    world.cluster.holdfast().ok(recover("again", &paper, &next)).unwrap();
    let again = world.cluster.device_of(&world.ann, "again");
    assert!(names(&again).contains("kept"));
    assert_eq!(devices(&again).len(), 1);
    assert!(world.refused_after(&world.ann) < AT_MOST, "the lost device is out");
    // The one that was used is worth nothing; the new one is worth a recovery.
    world.cluster.holdfast().refused(recover("twice", &paper, &last), "proof_of_possession").unwrap();
    world.cluster.holdfast().ok(recover("thrice", &next, &last)).unwrap();
}

#[test]
fn a_set_up_token_makes_the_first_superadmin_who_rules_accounts() {
    let world = World::new(1);
    let bob = world.cluster.add_account("bob", "1GiB").unwrap();
    let (ann_id, bob_id) = (world.ann.id.to_string(), bob.id.to_string());
    let org = json(&bob, &["org", "create", "Bobs"])["organisation"]["id"].as_str().unwrap().to_owned();
    world.ann.holdfast().refused(["account", "list"], "not_permitted").unwrap();
    world.ann.holdfast().refused(["account", "role", "me", "--role", "admin"], "not_permitted").unwrap();
    world.ann.holdfast().refused(["account", "disable", &bob_id], "not_permitted").unwrap();
    world.ann.holdfast().refused(["org", "show", &org], "not_permitted").unwrap();

    let token = world.file("token");
    world.cluster.holdfast().ok(["operator", "setup-token", "--out", &token]).unwrap();
    json(&world.ann, &["account", "claim", "--token-file", &token]);
    bob.holdfast().refused(["account", "claim", "--token-file", &token], "token_unknown").unwrap();
    world.ann.holdfast().refused(["account", "step-down"], "last_one").unwrap();
    let listed = json(&world.ann, &["account", "list"]);
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 2);

    // A global role holds in organisations, and in nobody's own home.
    json_until(&world.ann, &["org", "show", &org]);
    let home = ["files", "--home", &org, "ls"];
    world.ann.holdfast().ok(home).unwrap();

    // Disabled: out everywhere, soon, also at the registry; enabled: in again.
    names(&bob);
    json(&world.ann, &["account", "disable", &bob_id]);
    assert!(world.refused_after(&bob) < AT_MOST);
    bob.holdfast().refused(["client", "renew"], "banned").unwrap();
    json(&world.ann, &["account", "enable", &bob_id]);
    json_until(&bob, &["files", "ls"]);
    json(&bob, &["client", "renew"]);

    // An admin does not touch a superadmin, nor raise himself.
    json(&world.ann, &["account", "role", &bob_id, "--role", "admin"]);
    bob.holdfast().refused(["account", "disable", &ann_id], "not_permitted").unwrap();
    bob.holdfast().refused(["account", "role", "me", "--role", "admin"], "not_permitted").unwrap();

    // Oneself: the answer may come after one is out.
    json(&bob, &["account", "disable", "me"]);
    assert!(world.refused_after(&bob) < AT_MOST);
    json(&world.ann, &["account", "enable", &bob_id]);
    json_until(&bob, &["files", "ls"]);

    // Deleted: for ever.
    json(&world.ann, &["account", "delete", &bob_id, "--yes"]);
    assert!(world.refused_after(&bob) < AT_MOST);
    bob.holdfast().refused(["client", "renew"], "not_found").unwrap();
    world.ann.holdfast().refused(["account", "enable", &bob_id], "not_found").unwrap();
}

/// Nodes hear of rights that were given a moment later.
fn json_until(account: &Account, arguments: &[&str]) {
    let began = Instant::now();
    while account.holdfast().run(arguments).unwrap().code != 0 {
        assert!(began.elapsed() < 5 * AT_MOST, "never let in");
    }
}
