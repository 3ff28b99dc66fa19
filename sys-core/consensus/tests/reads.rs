//! Reads: linearizable ones share rounds, leased ones need none, stale ones are never staler than allowed.

mod support;

use std::time::{Duration, Instant};

use holdfast_consensus::ReadError;
use holdfast_domain::GroupId;
use support::{Net, Node, SOON, leader, members, three, until};

const GROUP: GroupId = GroupId(1);

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_share_rounds_on_followers_and_leaders() {
    let nodes = three(&Net::default(), &[1]).await;
    leader(&nodes, 1).await;
    for node in &nodes {
        let group = node.groups.get(GROUP).unwrap();
        let started = Instant::now();
        let reads = (0..2_000).map(|_| {
            let group = group.clone();
            tokio::spawn(async move { group.read_index().await })
        });
        for read in futures::future::join_all(reads).await {
            read.unwrap().unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_answers_stale_reads_at_once_and_never_beyond_their_age() {
    let net = Net::default();
    let nodes = three(&net, &[1]).await;
    let at = leader(&nodes, 1).await;
    let (lead, follower) = (&nodes[at], &nodes[(at + 1) % 3]);
    let (leader, group) = (lead.groups.get(GROUP).unwrap(), follower.groups.get(GROUP).unwrap());
    let age = Duration::from_millis(500);
    until("the follower heard of its leader", || group.fresh_within(age).is_ok()).await;
    assert!(leader.fresh_within(age).is_ok());

    for n in 0..20_u32 {
        let written = leader.propose(n.to_be_bytes().to_vec()).await.unwrap().index;
        let since = Instant::now();
        // Once the write is older than the age, an answer has it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        while since.elapsed() < age {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Ok(index) = group.fresh_within(since.elapsed() - Duration::from_millis(1)) {
                assert!(index >= written);
                break;
            }
        }
    }

    // Cut off from its leader it soon says so, and still names it.
    net.isolate(follower.number, &[lead.number, nodes[(at + 2) % 3].number]);
    until("the follower is stale", || group.fresh_within(age).is_err()).await;
    let stale = group.fresh_within(age);
    assert!(matches!(stale, Err(ReadError::Stale { .. })), "{stale:?}");
    net.heal();
    until("the follower is fresh again", || group.fresh_within(age).is_ok()).await;
}

/// A leader that a quorum has left goes on to send heartbeats to who still hears it.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_followers_of_a_deposed_leader_are_not_fresh() {
    let net = Net::default();
    let mut nodes = Vec::new();
    for number in 1..=5 {
        let mut node = Node::start(number, &net).await;
        node.host(GROUP, support::replica(1, number).0).await;
        nodes.push(node);
    }
    for node in &nodes {
        node.groups.get(GROUP).unwrap().bootstrap(members(1, &[1, 2, 3, 4, 5])).await.unwrap();
    }
    let at = leader(&nodes, 1).await;
    let old = nodes.remove(at);
    let believer = nodes.remove(0);
    // The old leader and one follower on one side, three on the other.
    for node in &nodes {
        net.isolate(node.number, &[old.number, believer.number]);
    }
    let new = leader(&nodes, 1).await;
    nodes[new].groups.get(GROUP).unwrap().propose(b"news".to_vec()).await.unwrap();
    let age = Duration::from_millis(300);
    tokio::time::sleep(age).await;
    for node in [&old, &believer] {
        let group = node.groups.get(GROUP).unwrap();
        assert!(group.fresh_within(age).is_err(), "node {} misses the news", node.number);
        let lease = tokio::time::timeout(Duration::from_millis(500), group.read_lease()).await;
        assert!(!matches!(lease, Ok(Ok(_))), "{lease:?}");
    }
    assert!(nodes[new].groups.get(GROUP).unwrap().fresh_within(age).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leased_read_needs_no_round_and_ends_with_the_quorum() {
    let net = Net::default();
    let nodes = three(&net, &[1]).await;
    let at = leader(&nodes, 1).await;
    let group = nodes[at].groups.get(GROUP).unwrap();
    let written = group.propose(b"x".to_vec()).await.unwrap().index;
    for _ in 0..200 {
        assert!(group.read_lease().await.unwrap() >= written);
    }
    // Elsewhere it is a read like any other.
    let elsewhere = nodes[(at + 1) % 3].groups.get(GROUP).unwrap();
    assert!(elsewhere.read_lease().await.unwrap() >= written);

    let others = [nodes[(at + 1) % 3].number, nodes[(at + 2) % 3].number];
    net.isolate(nodes[at].number, &others);
    // The shortest election timeout of these tests is 200 ms.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let read = tokio::time::timeout(Duration::from_millis(500), group.read_lease()).await;
    assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
    net.heal();
    group.read_lease().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_names_the_leader() {
    let nodes = three(&Net::default(), &[1]).await;
    let at = leader(&nodes, 1).await;
    for node in &nodes {
        let group = node.groups.get(GROUP).unwrap();
        let named = group.leader().unwrap();
        assert_eq!(named.replica, nodes[at].groups.get(GROUP).unwrap().replica());
        assert_eq!(named.node, Some(support::node_id(nodes[at].number)));
        group.wait_leader(SOON).await.unwrap();
    }
}
