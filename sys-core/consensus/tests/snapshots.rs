//! Snapshots: purge, newcomers that catch up by snapshot, restarts from snapshot and log.

mod support;

use holdfast_consensus::Compaction;
use holdfast_domain::GroupId;
use support::{Net, Node, SOON, member, members, replica, restart, until};

const GROUP: GroupId = GroupId(6);
const EAGER: Compaction = Compaction { entries: 50, keep: 5, bytes_per_second: 512 << 20 };

async fn start(number: u8, net: &Net) -> Node {
    Node::start_with(number, net, EAGER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_catches_up_by_snapshot_and_survives_a_restart() {
    let net = Net::default();
    let mut first = start(1, &net).await;
    let leader = first.host(GROUP, 61).await;
    leader.bootstrap(members(6, &[1])).await.unwrap();
    leader.wait_leading(SOON).await.unwrap();
    // Long commands, so that the snapshot has several chunks.
    for n in 0..200_u32 {
        let command = [n.to_be_bytes().as_slice(), &[7; 8000]].concat();
        leader.propose(command).await.unwrap();
    }
    until("the log is purged", || leader.status().purged > Some(100)).await;

    let mut second = start(2, &net).await;
    let newcomer = second.host(GROUP, 62).await;
    net.describe(GROUP, replica(6, 1), member(1));
    leader.add_learner(replica(6, 2), member(2)).await.unwrap();
    leader.wait_caught_up(replica(6, 2), 0, SOON).await.unwrap();
    newcomer.wait_applied(leader.status().applied.unwrap(), SOON).await.unwrap();
    assert!(newcomer.status().snapshot > Some(100), "{:?}", newcomer.status());
    let expected = first.machines[&GROUP].map.lock().unwrap().clone();
    assert_eq!(*second.machines[&GROUP].map.lock().unwrap(), expected);

    // The machine is in memory: after a restart it comes back from snapshot and log alone.
    let mut second = restart(second.kill().await).await;
    let newcomer = second.host(GROUP, 62).await;
    leader.propose(b"news".to_vec()).await.unwrap();
    newcomer.wait_applied(leader.status().applied.unwrap(), SOON).await.unwrap();
    let mut restored = second.machines[&GROUP].map.lock().unwrap().clone();
    restored.remove(b"news".as_slice());
    assert_eq!(restored, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_replica_comes_back_from_snapshot_and_log() {
    let net = Net::default();
    let mut node = start(1, &net).await;
    let group = node.host(GROUP, 61).await;
    group.bootstrap(members(6, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    for n in 0..120_u32 {
        group.propose(n.to_be_bytes().to_vec()).await.unwrap();
    }
    group.snapshot_now(SOON).await.unwrap();
    group.propose(b"after the snapshot".to_vec()).await.unwrap();
    until("the log is purged", || group.status().purged > Some(50)).await;

    let mut node = restart(node.kill().await).await;
    let group = node.host(GROUP, 61).await;
    group.read_index().await.unwrap();
    let map = node.machines[&GROUP].map.lock().unwrap().clone();
    assert_eq!(map.len(), 121);
    assert!(map.values().all(|(count, _)| *count == 1), "nothing is applied twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_stops_the_start() {
    let net = Net::default();
    let mut node = start(1, &net).await;
    let group = node.host(GROUP, 61).await;
    group.bootstrap(members(6, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    group.propose(vec![1; 5000]).await.unwrap();
    group.snapshot_now(SOON).await.unwrap();
    let disk = node.kill().await;
    let path = disk.3.path().join("snapshots/6-61/current.snapshot");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let node = restart(disk).await;
    let machine = Box::new(support::Counter::default());
    let started = node.groups.start(GROUP, holdfast_domain::ReplicaId(61), machine).await;
    let error = started.err().unwrap();
    assert!(matches!(error, holdfast_consensus::StartError::State { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_on_after_a_break_from_the_piece_that_was_reached() {
    let net = Net::default();
    let mut first = start(1, &net).await;
    let leader = first.host(GROUP, 61).await;
    leader.bootstrap(members(6, &[1])).await.unwrap();
    leader.wait_leading(SOON).await.unwrap();
    for n in 0..80_u32 {
        leader.propose([n.to_be_bytes().as_slice(), &[7; 300_000]].concat()).await.unwrap();
    }
    until("the log is purged", || leader.status().purged > Some(40)).await;

    let mut second = start(2, &net).await;
    let newcomer = second.host(GROUP, 62).await;
    net.describe(GROUP, replica(6, 1), member(1));
    leader.add_learner(replica(6, 2), member(2)).await.unwrap();
    let heard = || net.heard.lock().unwrap().get(&2).copied().unwrap_or(0);
    let mut breaks = 0_u64;
    for stage in [3_000_000, 6_000_000, 9_000_000] {
        until("a part is there", || heard() > stage || newcomer.status().snapshot.is_some()).await;
        if newcomer.status().snapshot.is_none() {
            breaks += 1;
            net.cut(1, 2);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            net.heal();
        }
    }
    newcomer.wait_applied(leader.status().applied.unwrap(), SOON).await.unwrap();
    assert!(breaks > 0);
    assert!(newcomer.status().snapshot.is_some());
    let expected = first.machines[&GROUP].map.lock().unwrap().clone();
    assert_eq!(*second.machines[&GROUP].map.lock().unwrap(), expected);
    // What has no snapshot yet goes as entries; with every break a piece or two twice.
    let most = 80 * 300_000 + (breaks + 1) * 3_000_000;
    assert!(heard() < most, "{} bytes with {breaks} breaks", heard());
}
