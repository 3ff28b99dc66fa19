//! Modules that are servers of their own, on real processes: one in Python that behaves, and one that tries everything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test file: its helpers may end the test"
)]

mod python;
mod wire;

use std::{path::Path, time::Duration};

use holdfast_client::Home;
use holdfast_domain::{HomeId, OrgId};
use holdfast_integration_tests::cluster::{Account, Cluster};
use python::PythonServer;
use serde_json::Value;
use tempfile::tempdir;

/// How long clients try.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    // Before the cluster: it is stopped first.
    notes: PythonServer,
    vault: PythonServer,
    cluster: Cluster,
    ann: Account,
    ben: Account,
}

fn world(dir: &Path) -> World {
    python::prepare(dir);
    let folder = dir.join("cluster");
    let (mut cluster, ann) = Cluster::with_account(&folder, 1, 2).unwrap();
    let ben = cluster.add_account("ben", "1GiB").unwrap();
    let mut notes = PythonServer::new(dir, "notes", "server.py", 1);
    let mut vault = PythonServer::new(dir, "vault", "hostile.py", 2);
    let node = cluster.node(0).unwrap();
    node.stop().unwrap();
    node.configure(&(notes.config() + &vault.config())).unwrap();
    node.start_and_wait().unwrap();
    notes.start();
    vault.start();
    World { notes, vault, cluster, ann, ben }
}

fn home(world: &World, account: &Account, home: Option<HomeId>) -> Home {
    world.cluster.client(account, PATIENCE).unwrap().home(home)
}

#[test]
fn a_module_server_in_python_serves_its_callers_rows() {
    let dir = tempdir().unwrap();
    let mut world = world(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ann = home(&world, &world.ann, None);
        wire::put_note(&ann, "plan", "world domination").await.unwrap();
        let note = wire::get_note(&ann, "plan").await.unwrap();
        assert_eq!((note.text.as_str(), note.author), ("world domination", world.ann.id.to_string()));
        assert_eq!(wire::list_notes(&ann).await.unwrap(), ["plan"]);
        assert_eq!(wire::reason(wire::get_note(&ann, "other").await), "not_found");
        // Nobody else comes as far as the module.
        let stranger = home(&world, &world.ben, Some(world.ann.id.into()));
        assert_eq!(wire::reason(wire::get_note(&stranger, "plan").await), "not_permitted");
        // Each home has its own.
        let ben = home(&world, &world.ben, None);
        assert_eq!(wire::list_notes(&ben).await.unwrap(), Vec::<String>::new());
    });
    // What is stored outlives the module server, and it comes back by itself.
    world.notes.kill();
    world.notes.start();
    runtime.block_on(async {
        let ann = home(&world, &world.ann, None);
        assert_eq!(wire::get_note(&ann, "plan").await.unwrap().text, "world domination");
    });
    assert!(world.cluster.expect_all_running().is_ok());
}

#[test]
fn a_hostile_module_server_gets_nothing_but_its_callers_rows() {
    const CANARY: &str = "canary-8f2c61d9-not-for-vault";
    let dir = tempdir().unwrap();
    let mut world = world(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let created = world.ann.holdfast().json(["org", "create", "Acme"]).unwrap();
    let org = created.pointer("/organisation/id").and_then(Value::as_str).unwrap().to_owned();
    let id = world.ben.id.to_string();
    world.ann.holdfast().json(["member", "put", &org, &id, "--role", "user"]).unwrap();
    let org = HomeId::Organisation(org.parse::<OrgId>().unwrap());
    let target = wire::AttackRequest {
        route: None,
        node_pid: world.cluster.node(0).unwrap().process_id().unwrap(),
        node_folder: world.cluster.node(0).unwrap().data().display().to_string(),
        node_port: world.cluster.node(0).unwrap().port().into(),
        registry_port: world.cluster.voter(0).unwrap().port().into(),
        other_socket: world.notes.socket().display().to_string(),
        other_data_socket: world.notes.data_socket().display().to_string(),
        other_item: "anns".to_owned(),
    };
    let report = runtime.block_on(async {
        let (ann, ben) = (home(&world, &world.ann, Some(org)), home(&world, &world.ben, Some(org)));
        wire::put_note(&home(&world, &world.ann, None), "secret", CANARY).await.unwrap();
        wire::put_item(&ann, "anns", CANARY).await.unwrap();
        wire::put_item(&ben, "bens", "mine").await.unwrap();
        wire::attack(&ben, &target)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", world.vault.log_tail()))
    });
    let attempts: serde_json::Map<String, Value> = serde_json::from_str(&report).unwrap();
    assert!(attempts.len() > 120, "{}", attempts.len());
    let open: Vec<_> = attempts
        .iter()
        .filter(|(name, _)| !["own", "metadata"].contains(&name.as_str()))
        .filter(|(_, outcome)| !outcome.as_str().unwrap().starts_with("refused: "))
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    // Refused by whoever should, and not for want of a connection.
    for (name, outcome) in &attempts {
        let outcome = outcome.as_str().unwrap_or_default();
        assert!(
            !["UNAVAILABLE", "INTERNAL", "UNKNOWN", "refused: Connection"]
                .iter()
                .any(|word| outcome.contains(word)),
            "{name}: {outcome}"
        );
    }
    for (name, how) in [
        ("grant ended", "PERMISSION_DENIED: The grant"),
        ("row of another", "NOT_FOUND"),
        ("change overwrite", "NOT_FOUND"),
        ("change in another's name", "PERMISSION_DENIED"),
        ("the node's /proc mem", "PermissionError"),
        ("ptrace", "PermissionError"),
        ("the other module's rows", "PermissionError"),
        ("registry /holdfast.registry.v1.Directory/Watch", "an answer without a message"),
        ("node /holdfast.data.v1.Data/List", "an answer without a message"),
    ] {
        assert!(attempts[name].as_str().unwrap().contains(how), "{name}: {}", attempts[name]);
    }
    assert_eq!(attempts["own"], serde_json::json!(["mine"]));
    assert!(!report.contains(CANARY) && !world.vault.log_tail().contains(CANARY));
    // What it tried is on record, and the node serves on.
    let log = world.cluster.node(0).unwrap().log_since_start();
    let denied = log.lines().filter(|line| line.contains("grant_unknown") && line.contains("vault")).count();
    assert!(denied >= 50, "{denied}");
    assert!(log.contains("not_permitted") && !log.contains(CANARY));
    world.cluster.expect_all_running().unwrap();
    runtime.block_on(async {
        let ann = home(&world, &world.ann, None);
        assert_eq!(wire::get_note(&ann, "secret").await.unwrap().text, CANARY);
    });
}
