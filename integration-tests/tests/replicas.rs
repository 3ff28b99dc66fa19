//! A replicated group on real processes: nodes die, replicas move, machines are drained, and everything that was acknowledged is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use holdfast_files_api::v1::{StatRequest, files_client::FilesClient};
use holdfast_integration_tests::{
    cluster::{Account, Cluster},
    rows, wait,
};
use holdfast_proto::{module::v1::Route, registry::v1::NodeStanding};
use holdfast_store::Batch;
use tempfile::{TempDir, tempdir};

/// A file of this length is stored in the group itself, and one of this in chunks beside it.
const LENGTHS: [usize; 2] = [9_000, 900_000];

/// Three nodes with one group of three replicas, and what was put into it.
struct World {
    dir: TempDir,
    cluster: Cluster,
    ann: Account,
    group: u32,
    put: Vec<(String, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let (cluster, ann) = Cluster::with_account(dir.path(), 3, 1).unwrap();
        let group = cluster.groups_of(&[ann.id]).unwrap()[0];
        let rows = cluster.replicas().unwrap();
        assert_eq!(rows[0].replicas.iter().filter(|replica| replica.state == "voter").count(), 3);
        Self { dir, cluster, ann, group, put: Vec::new() }
    }

    /// Puts a small and a large file, both acknowledged.
    fn put(&mut self, name: &str) {
        for length in LENGTHS {
            let number = u8::try_from(self.put.len()).unwrap();
            let (name, content) = (format!("{name}-{length}"), vec![number; length]);
            let file = self.dir.path().join("file");
            fs::write(&file, &content).unwrap();
            self.ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", &name]).unwrap();
            self.put.push((name, content));
        }
    }

    /// Puts something else under the name of the small file.
    fn put_again(&mut self, name: &str) {
        let (name, content) = (format!("{name}-{}", LENGTHS[0]), vec![77; LENGTHS[0]]);
        let file = self.dir.path().join("file");
        fs::write(&file, &content).unwrap();
        self.ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", &name]).unwrap();
        self.put.retain(|(put, _)| *put != name);
        self.put.push((name, content));
    }

    /// The id of the replica that votes on a node, while all is well.
    fn replica_on(&self, node: usize) -> anyhow::Result<Option<u64>> {
        let (node, rows) = (self.cluster.id_at(node)?, self.cluster.replicas()?);
        let here = rows.iter().flat_map(|row| &row.replicas).find(|replica| replica.node_id == node);
        let ready = rows.iter().all(|row| row.state == "ready");
        Ok(here.filter(|replica| ready && replica.state == "voter").map(|replica| replica.replica_id))
    }

    /// Whether a node answers a read, however stale.
    fn answers(&self, node: usize) -> bool {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let client = self.cluster.client(&self.ann, Duration::from_secs(20)).unwrap();
        runtime.block_on(async {
            let at = client.resolve().await.unwrap();
            let (map_epoch, group) = (at.epoch.0, at.group.0);
            let route = Route { map_epoch, group, max_staleness_ms: 600_000, ..Route::default() };
            let mut files = FilesClient::new(self.cluster.dial(&self.ann, node).await.unwrap());
            let name = format!("secret-{}", LENGTHS[0]).into();
            files.stat(StatRequest { route: Some(route), name }).await.is_ok()
        })
    }

    /// Reads everything back.
    fn check(&self) {
        for (name, content) in &self.put {
            let got = self.cluster.fetched("file").unwrap();
            self.ann.holdfast().ok(["files", "get", name, "--to", got.to_str().unwrap()]).unwrap();
            assert!(fs::read(&got).unwrap() == *content, "{name} is not what was put");
        }
    }

    /// The node that leads, once more than the one that died claims to.
    fn kill_leader(&mut self) -> usize {
        let leader = self.cluster.leader_of(self.group).unwrap();
        self.cluster.node(leader).unwrap().kill().unwrap();
        leader
    }
}

#[test]
fn writes_go_on_when_the_leader_is_killed_and_nothing_is_lost() {
    let mut world = World::new();
    world.put("before");
    let dead = world.kill_leader();
    let began = Instant::now();
    world.put("meanwhile");
    println!("put again {:?} after the leader's end", began.elapsed());
    world.check();
    world.cluster.node(dead).unwrap().start_and_wait().unwrap();
    world.put("after");
    // Whoever leads now: each of the three in turn must do without one of the others.
    for round in 0..2 {
        let dead = world.kill_leader();
        world.put(&format!("round-{round}"));
        world.check();
        world.cluster.node(dead).unwrap().start_and_wait().unwrap();
    }
    world.check();
}

#[test]
fn replicas_move_and_drained_nodes_empty_while_everything_stays() {
    let mut world = World::new();
    world.put("before");
    world.cluster.add_node().unwrap();
    let leader = world.cluster.leader_of(world.group).unwrap();
    world.cluster.move_replica(world.group, leader, 3).unwrap();
    world.put("moved");
    world.check();
    // What the replica that left could open is not what is sealed from now on.
    let rotated = || {
        let rows = world.cluster.replicas()?;
        Ok(rows.iter().all(|row| row.key_generation > 1 && !row.rotating).then_some(()))
    };
    wait::until(Duration::from_secs(60), "a new generation of the group's key", rotated).unwrap();
    world.put("rotated");
    world.check();
    // The first node is free again: what the drained one holds goes there.
    world.cluster.set_standing(3, NodeStanding::Draining).unwrap();
    let drained = world.cluster.id_at(3).unwrap();
    wait::until(Duration::from_secs(90), "a drained node", || {
        let rows = world.cluster.replicas()?;
        let here = rows.iter().flat_map(|row| &row.replicas).any(|replica| replica.node_id == drained);
        Ok((!here && rows.iter().all(|row| row.state == "ready")).then_some(()))
    })
    .unwrap();
    world.cluster.node(3).unwrap().kill().unwrap();
    world.put("drained");
    world.check();
}

#[test]
fn a_rolling_restart_under_load_fails_no_call() {
    let mut world = World::new();
    world.put("before");
    let (ann, stop) = (world.ann.clone(), AtomicBool::new(false));
    let folder = world.dir.path().to_owned();
    let calls = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (file, got) = (folder.join("load"), folder.join("load-got"));
            let mut calls = 0_u8;
            while !stop.load(Ordering::Relaxed) {
                fs::write(&file, vec![calls; 20_000]).unwrap();
                ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", "load"]).unwrap();
                drop(fs::remove_file(&got));
                ann.holdfast().ok(["files", "get", "load", "--to", got.to_str().unwrap()]).unwrap();
                assert!(fs::read(&got).unwrap() == vec![calls; 20_000], "not what was put just before");
                calls += 1;
            }
            calls
        });
        for index in 0..3 {
            let node = world.cluster.node(index).unwrap();
            node.stop().unwrap();
            node.start_and_wait().unwrap();
            // Two others must be there before the next goes.
            thread::sleep(Duration::from_secs(2));
        }
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    assert!(calls > 3, "{calls} rounds of calls");
    world.check();
}

#[test]
fn an_old_copy_of_one_record_is_found_and_its_replica_replaced() {
    let mut world = World::new();
    world.put("secret");
    let state = |world: &World| world.cluster.nodes[1].data().join("state");
    world.cluster.node(1).unwrap().stop().unwrap();
    let before = rows::read(&state(&world)).unwrap();
    world.cluster.node(1).unwrap().start_and_wait().unwrap();
    world.put_again("secret");
    thread::sleep(Duration::from_secs(2));
    world.cluster.node(1).unwrap().stop().unwrap();
    // The record itself is the one large row that changed.
    assert_eq!(
        rows::put_back(&state(&world), &before, LENGTHS[0]).unwrap(),
        1,
        "the record of the small file"
    );
    let first = world.replica_on(1).unwrap().unwrap();
    world.cluster.node(1).unwrap().start_and_wait().unwrap();
    wait::until(Duration::from_secs(120), "another replica on the node", || {
        Ok(world.replica_on(1)?.filter(|now| *now != first))
    })
    .unwrap();
    world.put("after");
    world.check();
}

/// Where the number of a row's table is in its key, behind "G", group and incarnation.
const TABLE: usize = 13;
/// Numbers below are consensus' own rows: what was applied, and by whom.
const FIRST: u8 = 2;

#[test]
fn a_replica_that_differs_from_the_others_serves_nobody_and_is_replaced() {
    let mut world = World::new();
    world.put("secret");
    for node in &mut world.cluster.nodes {
        node.stop().unwrap();
        node.configure("[store]\ncompare_every_s = 1\n").unwrap();
    }
    let state = world.cluster.nodes[1].data().join("state");
    let before = rows::read(&state).unwrap();
    for node in &mut world.cluster.nodes {
        node.start().unwrap();
    }
    for node in &mut world.cluster.nodes {
        node.wait_listening().unwrap();
    }
    world.put_again("secret");
    let first = wait::until(Duration::from_secs(30), "a group at rest", || world.replica_on(1)).unwrap();
    thread::sleep(Duration::from_secs(2));
    assert!(world.answers(1));
    // All its rows are genuine, agree with each other, and are not what the group agreed on.
    world.cluster.node(1).unwrap().stop().unwrap();
    let mut batch = Batch::new();
    let is_data = |key: &[u8]| key.get(TABLE).is_some_and(|table| *table >= FIRST);
    for key in rows::read(&state).unwrap().into_keys().filter(|key| is_data(key) && !before.contains_key(key))
    {
        batch.delete(key);
    }
    before.into_iter().filter(|(key, _)| is_data(key)).for_each(|(key, value)| batch.put(key, value));
    rows::write(&state, batch).unwrap();
    // Nobody can replace it while the registry is away.
    world.cluster.stop_voters().unwrap();
    world.cluster.node(1).unwrap().start_and_wait().unwrap();
    wait::until(Duration::from_secs(30), "a replica that is not believed", || {
        let log = world.cluster.nodes[1].log_since_start();
        Ok(log.contains("differ from a majority of the replicas").then_some(()))
    })
    .unwrap();
    assert!(!world.answers(1));
    assert!(world.answers(0) && world.answers(2));
    world.check();
    world.cluster.start_voters().unwrap();
    wait::until(Duration::from_secs(60), "another replica", || {
        let now = [0, 1, 2].map(|node| world.replica_on(node));
        let [Ok(Some(_)), Ok(Some(now)), Ok(Some(_))] = now else { return Ok(None) };
        Ok((now != first).then_some(()))
    })
    .unwrap();
    world.put("after");
    world.check();
    assert!(world.answers(1));
}
