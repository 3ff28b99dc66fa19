//! Disks that were put back to an older state: found, and kept from voting; and what is no rollback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests only")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_consensus::{Compaction, Floor, ProposeError, Standing};
use holdfast_domain::{GroupId, ReplicaId};
use support::{Counter, Disk, Net, Node, SOON, Stopped, leader, members, replica, restart, three, until};

const GROUP: GroupId = GroupId(1);

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A stopped node's disk as it is now.
fn image(stopped: &Stopped) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(stopped.3.path(), dir.path());
    dir
}

async fn put(nodes: &[Node], command: &[u8]) {
    let at = leader(nodes, 1).await;
    nodes[at].groups.get(GROUP).unwrap().propose(command.to_vec()).await.unwrap();
}

async fn host(mut node: Node) -> Node {
    let number = node.number;
    node.host(GROUP, replica(1, number).0).await;
    node
}

fn standing(node: &Node) -> Standing {
    node.groups.get(GROUP).unwrap().status().standing
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_disk_is_found_and_never_votes() {
    let net = Net::default();
    let mut nodes = three(&net, &[1]).await;
    put(&nodes, b"one").await;
    let stopped = nodes.remove(0).kill().await;
    let old = image(&stopped);
    nodes.push(host(restart(stopped).await).await);
    put(&nodes, b"two").await;
    until("the restarted one has it", || nodes[2].count(GROUP, b"two") == 1).await;

    let (number, net, compaction, _) = nodes.remove(2).kill().await;
    let back = host(restart((number, net.clone(), compaction, Disk::Temporary(old))).await).await;
    until("it is found out", || matches!(standing(&back), Standing::RolledBack(_))).await;
    let rollback = back.groups.get(GROUP).unwrap().status().rolled_back().unwrap();
    assert!(rollback.floor > rollback.held, "{rollback:?}");

    // The others go on, and it helps neither of them to a majority.
    put(&nodes, b"three").await;
    nodes.remove(0).kill().await;
    let alone = nodes[0].groups.get(GROUP).unwrap();
    let refused = alone.propose(b"four".to_vec()).await;
    assert!(
        matches!(refused, Err(ProposeError::NoLeader { .. } | ProposeError::Unknown { .. })),
        "{refused:?}"
    );
    assert!(matches!(standing(&back), Standing::RolledBack(_)));
    assert_eq!(back.count(GROUP, b"three"), 0, "it acknowledges nothing");
}

/// What was acknowledged is known to who was no leader, and survives the restart of all who know it.
#[tokio::test(flavor = "multi_thread")]
async fn all_restart_together_and_the_one_that_was_put_back_is_found() {
    let net = Net::default();
    let mut nodes = three(&net, &[1]).await;
    put(&nodes, b"one").await;
    let stopped = nodes.remove(0).kill().await;
    let old = image(&stopped);
    nodes.push(host(restart(stopped).await).await);
    for n in 0..20_u8 {
        put(&nodes, &[n]).await;
    }
    // What members acknowledged is written beside later entries, at the pace of heartbeats.
    for n in 20..24_u8 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        put(&nodes, &[n]).await;
    }
    let mut stopped = Vec::new();
    for node in nodes {
        stopped.push(node.kill().await);
    }
    let (number, net, compaction, _) = stopped.pop().unwrap();
    stopped.push((number, net, compaction, Disk::Temporary(old)));
    let mut nodes = Vec::new();
    for stopped in stopped {
        nodes.push(host(restart(stopped).await).await);
    }
    until("it is found out", || matches!(standing(&nodes[2]), Standing::RolledBack(_))).await;
    let sound = &nodes[..2];
    until("the others take part", || sound.iter().all(|node| standing(node) == Standing::Proven)).await;
    leader(sound, 1).await;
    put(sound, b"after").await;
    assert_eq!(sound[0].count(GROUP, &[19]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_restarts_of_one_and_of_all_are_no_rollback() {
    let net = Net::default();
    let eager = Compaction { entries: 20, keep: 2, bytes_per_second: u64::MAX };
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(host(Node::start_with(number, &net, eager).await).await);
    }
    for node in &nodes {
        node.groups.get(GROUP).unwrap().bootstrap(members(1, &[1, 2, 3])).await.unwrap();
    }
    for round in 0..4_u32 {
        for n in 0..40_u32 {
            put(&nodes, &[round.to_be_bytes(), n.to_be_bytes()].concat()).await;
        }
        let one = nodes.remove(0);
        nodes.push(host(restart(one.kill().await).await).await);
        let started = Instant::now();
        until("it takes part", || standing(&nodes[2]) == Standing::Proven).await;
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

        let mut stopped = Vec::new();
        for node in nodes {
            stopped.push(node.kill().await);
        }
        nodes = Vec::new();
        for stopped in stopped {
            nodes.push(host(restart(stopped).await).await);
        }
        until("all take part", || nodes.iter().all(|node| standing(node) == Standing::Proven)).await;
    }
    let at = leader(&nodes, 1).await;
    nodes[at].groups.get(GROUP).unwrap().read_index().await.unwrap();
    assert_eq!(nodes[at].machines[&GROUP].map.lock().unwrap().len(), 160);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_member_dead_another_still_comes_back() {
    let mut nodes = three(&Net::default(), &[1]).await;
    put(&nodes, b"one").await;
    nodes.remove(0).kill().await;
    let back = nodes.remove(0).kill().await;
    nodes.push(host(restart(back).await).await);
    let started = Instant::now();
    put(&nodes, b"two").await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hears_nobody_takes_no_part() {
    let net = Net::default();
    let mut nodes = three(&net, &[1]).await;
    put(&nodes, b"one").await;
    let (number, others) = (nodes[0].number, [nodes[1].number, nodes[2].number]);
    let stopped = nodes.remove(0).kill().await;
    net.isolate(number, &others);
    let back = host(restart(stopped).await).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(standing(&back), Standing::Proving);
    net.heal();
    until("it takes part", || standing(&back) == Standing::Proven).await;
}

/// Nobody remembers the log of a group of one, but the registry.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_one_is_held_to_the_registrys_floor() {
    let net = Net::default();
    let mut node = Node::start(1, &net).await;
    let group = node.host(GROUP, 11).await;
    group.bootstrap(members(1, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    group.propose(b"one".to_vec()).await.unwrap();
    let before = group.acknowledged().unwrap();
    let stopped = node.kill().await;
    let old = image(&stopped);
    let mut node = restart(stopped).await;
    let group = node.host(GROUP, 11).await;
    group.wait_leading(SOON).await.unwrap();
    group.propose(b"two".to_vec()).await.unwrap();
    let floor = group.acknowledged().unwrap();
    assert!(floor > before);

    // As it was left, it starts above its floor.
    let node = restart(node.kill().await).await;
    let machine = Box::new(Counter::default());
    let group = node.groups.start_above(GROUP, ReplicaId(11), machine, floor).await.unwrap();
    group.wait_leading(SOON).await.unwrap();

    let (number, net, compaction, _) = node.kill().await;
    let node = restart((number, net, compaction, Disk::Temporary(old))).await;
    let machine = Box::new(Counter::default());
    let group = node.groups.start_above(GROUP, ReplicaId(11), machine, floor).await.unwrap();
    let rollback = group.status().rolled_back().unwrap();
    assert_eq!(rollback.floor, floor);
    assert!(group.wait_leading(Duration::from_millis(500)).await.is_err());
    // An empty disk under a known id is one that was wiped.
    let node = Node::start(2, &Net::default()).await;
    let machine = Box::new(Counter::default());
    let group = node.groups.start_above(GROUP, ReplicaId(11), machine, floor).await.unwrap();
    assert_eq!(group.status().rolled_back().unwrap().held, Floor::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_member_does_not_come_back_under_its_id() {
    let net = Net::default();
    let mut nodes = three(&net, &[1]).await;
    put(&nodes, b"one").await;
    for number in 1..=3 {
        net.describe(GROUP, replica(1, number), support::member(number));
    }
    let number = nodes[0].number;
    nodes.remove(0).kill().await;
    leader(&nodes, 1).await;
    let wiped = host(Node::start(number, &net).await).await;
    until("it is found out", || matches!(standing(&wiped), Standing::RolledBack(_))).await;
    put(&nodes, b"two").await;
}

/// A log that lost its end leaves no trace of it: the peers know.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_a_log_that_was_cut_off_is_refused_or_found_out() {
    for cut in [40, 400, 2_000] {
        let net = Net::default();
        let mut nodes = three(&net, &[1]).await;
        for n in 0..30_u8 {
            put(&nodes, &[n; 100]).await;
        }
        let stopped = nodes.remove(0).kill().await;
        let mut files: Vec<_> = std::fs::read_dir(stopped.3.path().join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "raftlog"))
            .collect();
        files.sort();
        let newest = files.pop().unwrap();
        let bytes = std::fs::read(&newest).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        std::fs::write(&newest, &bytes[..end - cut]).unwrap();

        let back = host(restart(stopped).await).await;
        // A batch that was torn off may hold nothing that was acknowledged.
        until("it is judged", || standing(&back) != Standing::Proving).await;
        if cut > 400 {
            assert!(matches!(standing(&back), Standing::RolledBack(_)), "{cut}");
        }
        put(&nodes, b"after").await;
        for node in &nodes {
            node.groups.get(GROUP).unwrap().read_index().await.unwrap();
            assert!((0..30_u8).all(|n| node.count(GROUP, &[n; 100]) == 1));
        }
    }
}
