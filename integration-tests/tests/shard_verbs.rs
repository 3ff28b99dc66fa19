//! What operators say to groups and nodes, by `holdfast` itself on real processes: each verb twice, as each may be asked for again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test file: its helpers may end the test"
)]

use std::fs;

use holdfast_integration_tests::cluster::{Account, Cluster};
use serde_json::Value;
use tempfile::tempdir;

/// Answers of two calls of the same command.
fn twice<const N: usize>(cluster: &Cluster, arguments: [&str; N]) -> [Value; 2] {
    [(); 2].map(|()| cluster.holdfast().json(arguments).unwrap())
}

fn group(cluster: &Cluster, group: &str) -> Value {
    cluster.holdfast().json(["shard", "show", group]).unwrap()["group"].clone()
}

fn nodes_of(row: &Value) -> Vec<String> {
    let replicas = row["replicas"].as_array().unwrap();
    replicas.iter().map(|replica| replica["node"].as_str().unwrap().to_owned()).collect()
}

/// Everything that was put is there, and more can be put.
fn use_it(cluster: &Cluster, ann: &Account, round: usize) {
    let file = cluster.path(&format!("file-{round}"));
    fs::write(&file, format!("round {round}")).unwrap();
    ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", &format!("f{round}")]).unwrap();
    for before in 0..=round {
        let got = cluster.fetched("got").unwrap();
        ann.holdfast()
            .ok(["files", "get", &format!("f{before}"), "--to", got.to_str().unwrap(), "--stale-ok", "0s"])
            .unwrap();
        assert_eq!(fs::read_to_string(&got).unwrap(), format!("round {before}"));
    }
}

#[test]
fn groups_are_made_moved_split_and_merged_and_nodes_drained_and_removed() {
    let dir = tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 4).unwrap();
    let few = cluster.holdfast().run(["shard", "create", "1", "--replicas", "5"]).unwrap();
    few.expect_failure(&["5 replicas", "--replicas"]).unwrap();
    let [first, again] = twice(&cluster, ["shard", "create", "1", "--wait"]);
    assert_eq!(first, again);
    let other = cluster.holdfast().run(["shard", "create", "2"]).unwrap();
    other.expect_failure(&["shard split"]).unwrap();
    let ann = cluster.add_account("ann", "1GiB").unwrap();
    use_it(&cluster, &ann, 0);

    // A replica moves to the node that has none.
    let all: Vec<String> = cluster.nodes.iter().map(|node| node.node.clone().unwrap()).collect();
    let on = nodes_of(&group(&cluster, "1"));
    let free = all.iter().find(|node| !on.contains(node)).unwrap();
    let which = cluster.holdfast().run(["shard", "move", "1", "--to", free]).unwrap();
    which.expect_failure(&["--from"]).unwrap();
    twice(&cluster, ["shard", "move", "1", "--from", &on[0], "--to", free, "--wait"]);
    let now = nodes_of(&group(&cluster, "1"));
    assert!(now.contains(free) && !now.contains(&on[0]), "{now:?}");
    use_it(&cluster, &ann, 1);

    // Slots go to a new group and come back.
    let split = cluster.holdfast().json(["shard", "split", "1", "--wait"]).unwrap();
    let second = split["to"].to_string();
    assert_eq!(group(&cluster, &second)["slots"], 2048);
    use_it(&cluster, &ann, 2);
    cluster.holdfast().json(["shard", "merge", &second, "--into", "1", "--wait"]).unwrap();
    assert_eq!(group(&cluster, "1")["slots"], 4096);
    let gone = cluster.holdfast().run(["shard", "show", &second]).unwrap();
    gone.expect_failure(&["no group"]).unwrap();
    use_it(&cluster, &ann, 3);

    // A node is emptied, used again, and removed for good.
    let victim = &nodes_of(&group(&cluster, "1"))[0];
    for verb in ["cordon", "uncordon"] {
        twice(&cluster, ["node", verb, victim]);
    }
    let [drained, _] = twice(&cluster, ["node", "drain", victim, "--wait"]);
    assert_eq!(drained["replicas"], 0);
    let [removed, _] = twice(&cluster, ["node", "remove", victim, "--wait"]);
    assert_eq!(removed["standing"], "removed");
    assert!(!nodes_of(&group(&cluster, "1")).contains(victim));
    use_it(&cluster, &ann, 4);
    for table in [["shard", "list"], ["node", "list"]] {
        println!("{}", cluster.holdfast().ok(table).unwrap());
    }
}
