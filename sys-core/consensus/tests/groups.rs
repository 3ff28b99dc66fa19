//! Several groups on several nodes: elections, proposals from anywhere, failures and restarts.

mod support;

use holdfast_consensus::{MembershipError, ProposeError, StartError};
use holdfast_domain::{GroupId, ReplicaId};
use support::{Net, Node, SOON, leader, members, replica, restart, set, three, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_every_group_can_propose_and_read() {
    let nodes = three(&Net::default(), &[1, 2, 3]).await;
    for group in [1, 2, 3] {
        leader(&nodes, group).await;
        for node in &nodes {
            let handle = node.groups.get(GroupId(group)).unwrap();
            let command = format!("{group} from {}", node.number).into_bytes();
            let applied = handle.propose(command.clone()).await.unwrap();
            assert_eq!(applied.result, [b"applied ", command.as_slice()].concat());
            let index = handle.read_index().await.unwrap();
            assert!(index >= applied.index);
            assert_eq!(node.count(GroupId(group), &command), 1, "a linearizable read sees the write");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_proposals_are_each_applied_once_with_growing_ordinals() {
    let nodes = three(&Net::default(), &[1]).await;
    leader(&nodes, 1).await;
    let mut tasks = Vec::new();
    for n in 0..600_u32 {
        let group = nodes[usize::try_from(n).unwrap() % 3].groups.get(GroupId(1)).unwrap();
        tasks.push(tokio::spawn(async move { group.propose(n.to_be_bytes().to_vec()).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    nodes[0].groups.get(GroupId(1)).unwrap().read_index().await.unwrap();
    let map = nodes[0].machines[&GroupId(1)].map.lock().unwrap().clone();
    assert_eq!(map.len(), 600);
    assert!(map.values().all(|(count, _)| *count == 1));
    let ordinals: std::collections::BTreeSet<u64> = map.values().map(|row| row.1).collect();
    assert_eq!(ordinals.len(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_comes_back_from_its_disk() {
    let mut nodes = three(&Net::default(), &[1, 2]).await;
    let old = leader(&nodes, 1).await;
    nodes[old].groups.get(GroupId(1)).unwrap().propose(b"before".to_vec()).await.unwrap();
    let dead = nodes.remove(old).kill().await;
    let number = dead.0;

    leader(&nodes, 1).await;
    leader(&nodes, 2).await;
    nodes[0].groups.get(GroupId(1)).unwrap().propose(b"meanwhile".to_vec()).await.unwrap();

    let mut back = restart(dead).await;
    assert_eq!(back.groups.stored(), [(GroupId(1), replica(1, number)), (GroupId(2), replica(2, number))]);
    let group = back.host(GroupId(1), replica(1, number).0).await;
    back.host(GroupId(2), replica(2, number).0).await;
    group.read_index().await.unwrap();
    assert_eq!(back.count(GroupId(1), b"before"), 1);
    assert_eq!(back.count(GroupId(1), b"meanwhile"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_stop_and_start_again() {
    let mut nodes = three(&Net::default(), &[1]).await;
    leader(&nodes, 1).await;
    for n in 0..50_u8 {
        nodes[0].groups.get(GroupId(1)).unwrap().propose(vec![n]).await.unwrap();
    }
    let mut dead = Vec::new();
    for node in nodes.drain(..) {
        dead.push(node.kill().await);
    }
    for disk in dead {
        nodes.push(restart(disk).await);
    }
    for node in &mut nodes {
        node.host(GroupId(1), replica(1, node.number).0).await;
    }
    leader(&nodes, 1).await;
    nodes[2].groups.get(GroupId(1)).unwrap().read_index().await.unwrap();
    assert_eq!(nodes[2].machines[&GroupId(1)].map.lock().unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_moves_on_request_and_stale_terms_are_refused() {
    let nodes = three(&Net::default(), &[1]).await;
    let old = leader(&nodes, 1).await;
    let group = nodes[old].groups.get(GroupId(1)).unwrap();
    let term = group.wait_leading(SOON).await.unwrap();
    group.propose_in_term(term, b"mine".to_vec()).await.unwrap();
    let wrong = group.propose_in_term(term + 1, b"not mine".to_vec()).await;
    assert!(matches!(wrong, Err(ProposeError::NotLeader { .. })), "{wrong:?}");

    let to = nodes[(old + 1) % 3].groups.get(GroupId(1)).unwrap();
    group.transfer_leader(to.replica(), SOON).await.unwrap();
    to.wait_leading(SOON).await.unwrap();
    let stale = group.propose_in_term(term, b"stale".to_vec()).await;
    assert!(matches!(stale, Err(ProposeError::NotLeader { .. })), "{stale:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_accepted_and_nothing_is_read() {
    let mut nodes = three(&Net::default(), &[1]).await;
    leader(&nodes, 1).await;
    nodes.remove(0).kill().await;
    nodes.remove(0).kill().await;
    let alone = nodes[0].groups.get(GroupId(1)).unwrap();
    let (proposed, read) = tokio::join!(alone.propose(b"lost".to_vec()), alone.read_index());
    assert!(
        matches!(proposed, Err(ProposeError::NoLeader { .. } | ProposeError::Unknown { .. })),
        "{proposed:?}"
    );
    assert!(read.is_err());
    assert_eq!(nodes[0].count(GroupId(1), b"lost"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_one_leads_at_once_after_a_restart() {
    let net = Net::default();
    let mut node = Node::start(1, &net).await;
    let group = node.host(GroupId(5), 51).await;
    group.bootstrap(members(5, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    group.propose(b"one".to_vec()).await.unwrap();
    let mut node = restart(node.kill().await).await;
    let group = node.host(GroupId(5), 51).await;
    let started = std::time::Instant::now();
    group.wait_leading(SOON).await.unwrap();
    assert!(started.elapsed() < std::time::Duration::from_millis(150), "{:?}", started.elapsed());
    assert_eq!(node.count(GroupId(5), b"one"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_replicas_id_does_not_come_back() {
    let net = Net::default();
    let mut node = Node::start(1, &net).await;
    let group = node.host(GroupId(5), 51).await;
    group.bootstrap(members(5, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    let again = node.groups.start(GroupId(5), ReplicaId(51), Box::new(support::Counter::default())).await;
    assert!(matches!(again, Err(StartError::Running { .. })));
    node.groups.stop(GroupId(5)).await;
    let other = node.groups.start(GroupId(5), ReplicaId(52), Box::new(support::Counter::default())).await;
    assert!(matches!(other, Err(StartError::OtherReplica { stored: ReplicaId(51), .. })));
    node.groups.remove(GroupId(5)).await.unwrap();
    assert_eq!(node.groups.stored(), []);
    node.host(GroupId(5), 52).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_moves_from_one_node_to_another() {
    let net = Net::default();
    let mut first = Node::start(1, &net).await;
    let from = first.host(GroupId(4), 41).await;
    from.bootstrap(members(4, &[1])).await.unwrap();
    from.wait_leading(SOON).await.unwrap();
    from.propose(b"carried over".to_vec()).await.unwrap();

    let mut second = Node::start(2, &net).await;
    let to = second.host(GroupId(4), 42).await;
    // The newcomer knows its leader by a signed descriptor only.
    net.describe(GroupId(4), replica(4, 1), support::member(1));
    from.add_learner(replica(4, 2), support::member(2)).await.unwrap();
    from.wait_caught_up(replica(4, 2), 0, SOON).await.unwrap();
    from.promote(set(&[replica(4, 2)])).await.unwrap();
    assert_eq!(from.status().membership.voters, set(&[replica(4, 1), replica(4, 2)]));
    // It could be stuck for ever half-way out.
    let refused = from.remove(set(&[replica(4, 1)])).await;
    assert!(matches!(refused, Err(MembershipError::Refused { .. })), "{refused:?}");
    from.transfer_leader(replica(4, 2), SOON).await.unwrap();
    to.wait_leading(SOON).await.unwrap();
    to.remove(set(&[replica(4, 1)])).await.unwrap();

    to.propose(b"after".to_vec()).await.unwrap();
    assert_eq!(second.count(GroupId(4), b"carried over"), 1);
    let left = to.status().membership;
    assert_eq!((left.voters.clone(), left.members.len()), (set(&[replica(4, 2)]), 1));
    until("the old replica no longer leads", || !from.status().leads()).await;
    first.groups.remove(GroupId(4)).await.unwrap();
    assert_eq!(first.groups.stored(), []);
    to.propose(b"alone".to_vec()).await.unwrap();
}
