//! What operators say to groups and nodes, by `holdfast` itself on real processes: each verb twice, as each may be asked for again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test file: its helpers may end the test"
)]

use std::{collections::BTreeMap, fs, time::Duration};

use holdfast_client::files::FileName;
use holdfast_domain::Slot;
use holdfast_integration_tests::{
    cluster::{Account, Cluster},
    wait,
};
use serde_json::Value;
use tempfile::tempdir;

/// Anything that a cluster does by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// So slow that a move of some MiB can be given up.
const SLOW: &str = "[store]\nmove_mib_s = 1\n";
/// Small files of 16 KiB: several MiB of rows.
const FILES: u32 = 300;

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

/// The node of a cluster that a group is not on, by its place.
fn free_node(cluster: &Cluster, on: &[String]) -> usize {
    cluster.nodes.iter().position(|node| !on.contains(node.node.as_ref().unwrap())).unwrap()
}

/// Several MiB of rows in the account's slot.
fn fill(cluster: &Cluster, ann: &Account) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let files = cluster.client(ann, PATIENCE).unwrap().files();
    let file = cluster.path("filling");
    fs::write(&file, vec![7; 16 * 1024]).unwrap();
    let put = async |number: u32| {
        let name = FileName::new(format!("filling-{number}").into_bytes()).unwrap();
        files.put(&name, &file, &|_| {}).await.unwrap();
    };
    runtime.block_on(async {
        for eight in 0..FILES / 8 {
            futures::future::join_all((0..8).map(|one| put(eight * 8 + one))).await;
        }
    });
}

#[test]
fn moves_of_replicas_and_of_slots_are_given_up() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 4).unwrap();
    for node in &mut cluster.nodes {
        node.stop().unwrap();
        node.configure(SLOW).unwrap();
        node.start_and_wait().unwrap();
    }
    cluster.create_groups(1).unwrap();
    let ann = cluster.add_account("ann", "1GiB").unwrap();
    use_it(&cluster, &ann, 0);

    // A replica that would move to a machine that is off just now, which nothing but giving it up ends.
    let on = nodes_of(&group(&cluster, "1"));
    let off = free_node(&cluster, &on);
    let target = cluster.nodes[off].node.clone().unwrap();
    cluster.node(off).unwrap().stop().unwrap();
    twice(&cluster, ["shard", "move", "1", "--from", &on[0], "--to", &target]);
    assert_eq!(nodes_of(&group(&cluster, "1")).len(), 4);
    twice(&cluster, ["shard", "cancel", "1", "--wait"]);
    let now = group(&cluster, "1");
    assert_eq!((nodes_of(&now), &now["state"]), (on, &Value::from("ready")));
    cluster.node(off).unwrap().start_and_wait().unwrap();
    use_it(&cluster, &ann, 1);

    // Slots whose rows take seconds to copy.
    fill(&cluster, &ann);
    let id = cluster.export().unwrap().genesis().unwrap().cluster;
    let slot = Slot::of_home(id, ann.id).number().to_string();
    let split = cluster.holdfast().json(["shard", "split", "1", "--slots", &slot]).unwrap();
    let second = split["to"].to_string();
    wait::until(PATIENCE, "slots that move", || {
        let moves = cluster.holdfast().json(["shard", "show", "1"])?["slot_moves"].clone();
        // It waits for its group first.
        let begun = |moves: &Vec<Value>| moves.iter().any(|of| of["since"].is_u64());
        Ok(moves.as_array().is_some_and(begun).then_some(()))
    })
    .unwrap();
    let [first, again] = twice(&cluster, ["shard", "give-up", "1", "--wait"]);
    assert_eq!((first["to"].to_string(), &again["to"]), (second.clone(), &Value::Null));
    assert_eq!(group(&cluster, "1")["slots"], 4096);
    use_it(&cluster, &ann, 2);
    // A group without slots that waits for none goes away.
    let gone = || Ok((cluster.holdfast().run(["shard", "show", &second])?.code != 0).then_some(()));
    wait::until(PATIENCE, "the end of the new group", gone).unwrap();
    use_it(&cluster, &ann, 3);
}

/// Replicas of each node that has any.
fn counts(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in cluster.holdfast().json(["shard", "list"]).unwrap()["groups"].as_array().unwrap() {
        nodes_of(row).into_iter().for_each(|node| *counts.entry(node).or_default() += 1);
    }
    counts
}

#[test]
fn nodes_are_evened_out_and_one_that_is_gone_for_ever_is_replaced() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 4).unwrap();
    let all: Vec<String> = cluster.nodes.iter().map(|node| node.node.clone().unwrap()).collect();
    cluster.holdfast().ok(["node", "cordon", &all[3]]).unwrap();
    cluster.create_groups(2).unwrap();
    let ann = cluster.add_account("ann", "1GiB").unwrap();
    use_it(&cluster, &ann, 0);
    assert_eq!(counts(&cluster), all[..3].iter().map(|node| (node.clone(), 2)).collect());

    // Nothing goes to a node that takes nothing. From the moment that it does, placement is as free to begin as we are.
    let dry = ["shard", "rebalance", "--dry-run"];
    assert_eq!(cluster.holdfast().json(dry).unwrap()["moves"], Value::Array(vec![]));
    cluster.holdfast().ok(["node", "uncordon", &all[3]]).unwrap();
    let planned = cluster.holdfast().json(dry).unwrap();
    assert_eq!(planned["dry_run"], true);
    let planned = planned["moves"].as_array().unwrap();
    assert!(planned.iter().all(|of| of["target"] == all[3].as_str()) && planned.len() < 2, "{planned:?}");
    twice(&cluster, ["shard", "rebalance", "--wait"]);
    wait::until(PATIENCE, "even nodes", || {
        let mut even: Vec<_> = counts(&cluster).into_values().collect();
        even.sort_unstable();
        let settled = cluster.groups()?.iter().all(|row| row.state == "ready");
        Ok((settled && even == [1, 1, 2, 2]).then_some(()))
    })
    .unwrap();
    for dry_run in [&dry[..], &dry[..2]] {
        let nothing = cluster.holdfast().json(dry_run).unwrap();
        assert_eq!(nothing["moves"], Value::Array(vec![]), "{nothing}");
    }
    use_it(&cluster, &ann, 1);

    // A machine that will not come back: nobody waits for it.
    let gone = &all[0];
    cluster.node(0).unwrap().kill().unwrap();
    let [removed, _] = twice(&cluster, ["node", "remove", gone, "--lost", "--wait"]);
    assert_eq!(removed["standing"], "removed");
    assert_eq!(counts(&cluster), all[1..].iter().map(|node| (node.clone(), 2)).collect());
    assert!(cluster.groups().unwrap().iter().all(|row| row.state == "ready"));
    use_it(&cluster, &ann, 2);
    // If it does come back, nobody waited for it, and nothing goes there.
    cluster.node(0).unwrap().start_and_wait().unwrap();
    use_it(&cluster, &ann, 3);
    assert!(!counts(&cluster).contains_key(gone));
}
