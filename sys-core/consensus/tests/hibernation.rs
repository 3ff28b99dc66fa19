//! Groups that sleep: what wakes them, and that nothing is lost or acknowledged twice whatever happens meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests only")]

mod support;

use std::time::{Duration, Instant};

use holdfast_consensus::{Group, Hibernation};
use holdfast_domain::GroupId;
use support::{Net, Node, SOON, leader, member, replica, restart, set, three, until};

const GROUP: GroupId = GroupId(1);
const QUIET: Duration = Duration::from_millis(300);

fn sleepy() -> Net {
    let net = Net::default();
    *net.hibernation.lock().unwrap() = Some(Hibernation::After(QUIET));
    net
}

fn handle(node: &Node, group: u32) -> Group {
    node.groups.get(GroupId(group)).unwrap()
}

fn sleeps(nodes: &[Node], group: u32) -> bool {
    nodes.iter().all(|node| handle(node, group).status().sleeping)
}

async fn asleep(nodes: &[Node], group: u32) {
    until("the group sleeps", || sleeps(nodes, group)).await;
}

/// Tries at every node in turn until one of them takes the command; each command once only, as a lost answer may mean taken.
async fn put_somewhere(nodes: &[Node], group: u32, name: &str) -> Vec<u8> {
    let started = Instant::now();
    for attempt in 0.. {
        let command = format!("{name} {attempt}").into_bytes();
        let node = &nodes[attempt % nodes.len()];
        let put = handle(node, group);
        let patience = Duration::from_millis(700);
        if let Ok(Ok(_)) = tokio::time::timeout(patience, put.propose(command.clone())).await {
            return command;
        }
        assert!(started.elapsed() < SOON, "nobody takes {name}");
    }
    unreachable!()
}

/// All nodes hold the same, these commands once each.
async fn all_hold(nodes: &[Node], group: u32, commands: &[Vec<u8>]) {
    for node in nodes {
        handle(node, group).read_index().await.unwrap();
        for command in commands {
            assert_eq!(node.count(GroupId(group), command), 1, "{}", String::from_utf8_lossy(command));
        }
    }
    let map = |node: &Node| node.machines[&GroupId(group)].map.lock().unwrap().clone();
    until("all are equal", || nodes.iter().all(|node| map(node) == map(&nodes[0]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_group_sleeps_and_anything_wakes_it() {
    let nodes = three(&sleepy(), &[1]).await;
    let at = leader(&nodes, 1).await;
    let term = handle(&nodes[at], 1).status().term;
    let mut commands = Vec::new();
    for round in 0..6_usize {
        asleep(&nodes, 1).await;
        // Well past every election timeout.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(sleeps(&nodes, 1), "nothing disturbs it");
        let node = handle(&nodes[(at + round) % 3], 1);
        let started = Instant::now();
        if round < 3 {
            let command = format!("put {round}").into_bytes();
            node.propose(command.clone()).await.unwrap();
            commands.push(command);
        } else {
            node.read_index().await.unwrap();
        }
        assert!(started.elapsed() < Duration::from_millis(150), "{:?}", started.elapsed());
        assert!(!handle(&nodes[at], 1).status().sleeping);
    }
    assert_eq!(handle(&nodes[at], 1).status().term, term, "nobody campaigned");
    all_hold(&nodes, 1, &commands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_a_dead_or_distant_member_does_not_sleep() {
    let net = sleepy();
    let mut nodes = three(&net, &[1]).await;
    leader(&nodes, 1).await;
    // One way only, and not the leader's.
    let at = leader(&nodes, 1).await;
    net.cut(nodes[(at + 1) % 3].number, nodes[at].number);
    handle(&nodes[at], 1).propose(b"x".to_vec()).await.unwrap();
    tokio::time::sleep(QUIET * 4).await;
    assert!(!handle(&nodes[at], 1).status().sleeping);
    net.heal();
    asleep(&nodes, 1).await;

    let dead = nodes.remove((at + 1) % 3).kill().await;
    let at = leader(&nodes, 1).await;
    tokio::time::sleep(QUIET * 4).await;
    assert!(!handle(&nodes[at], 1).status().sleeping);
    let mut back = restart(dead).await;
    back.host(GROUP, replica(1, back.number).0).await;
    nodes.push(back);
    asleep(&nodes, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_changes_wake_a_sleeping_group() {
    let net = sleepy();
    let mut nodes = three(&net, &[1]).await;
    let at = leader(&nodes, 1).await;
    handle(&nodes[at], 1).propose(b"before".to_vec()).await.unwrap();
    asleep(&nodes, 1).await;

    let mut fourth = Node::start(4, &net).await;
    fourth.host(GROUP, replica(1, 4).0).await;
    for number in 1..=4 {
        net.describe(GROUP, replica(1, number), member(number));
    }
    let group = handle(&nodes[at], 1);
    group.add_learner(replica(1, 4), member(4)).await.unwrap();
    group.wait_caught_up(replica(1, 4), 0, SOON).await.unwrap();
    nodes.push(fourth);
    asleep(&nodes, 1).await;
    group.promote(set(&[replica(1, 4)])).await.unwrap();
    asleep(&nodes, 1).await;
    let out = nodes.remove((at + 1) % 3);
    let at = leader(&nodes, 1).await;
    handle(&nodes[at], 1).remove(set(&[replica(1, out.number)])).await.unwrap();
    out.kill().await;
    asleep(&nodes, 1).await;
    handle(&nodes[at], 1).transfer_leader(replica(1, 4), SOON).await.unwrap();
    asleep(&nodes, 1).await;
    let command = put_somewhere(&nodes, 1, "after").await;
    all_hold(&nodes, 1, &[b"before".to_vec(), command]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_restart_while_their_group_sleeps_find_it() {
    let mut nodes = three(&sleepy(), &[1, 2]).await;
    let mut commands = Vec::new();
    // Each in turn, leaders among them.
    for round in 0..3_usize {
        for group in [1, 2] {
            asleep(&nodes, group).await;
        }
        let mut back = restart(nodes.remove(0).kill().await).await;
        for group in [1, 2] {
            back.host(GroupId(group), replica(group, back.number).0).await;
        }
        nodes.push(back);
        let started = Instant::now();
        commands.push(put_somewhere(&nodes, 1, &format!("round {round}")).await);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    // All at once.
    asleep(&nodes, 1).await;
    asleep(&nodes, 2).await;
    let mut stopped = Vec::new();
    for node in nodes {
        stopped.push(node.kill().await);
    }
    let mut nodes = Vec::new();
    for stopped in stopped {
        let mut node = restart(stopped).await;
        for group in [1, 2] {
            node.host(GroupId(group), replica(group, node.number).0).await;
        }
        nodes.push(node);
    }
    let started = Instant::now();
    commands.push(put_somewhere(&nodes, 1, "all").await);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    leader(&nodes, 2).await;
    all_hold(&nodes, 1, &commands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_of_a_dead_leader_have_new_ones_soon() {
    let groups: Vec<u32> = (1..=12).collect();
    let mut nodes = three(&sleepy(), &groups).await;
    for group in &groups {
        leader(&nodes, *group).await;
        asleep(&nodes, *group).await;
    }
    let at = leader(&nodes, 1).await;
    nodes.remove(at).kill().await;
    let started = Instant::now();
    for group in &groups {
        let command = put_somewhere(&nodes, *group, "after").await;
        assert!(started.elapsed() < Duration::from_secs(3), "group {group}: {:?}", started.elapsed());
        all_hold(&nodes, *group, &[command]).await;
    }
    // Without anybody asking, too.
    for group in &groups {
        leader(&nodes, *group).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_noticed_without_anybody_asking() {
    let mut nodes = three(&sleepy(), &[1]).await;
    let at = leader(&nodes, 1).await;
    asleep(&nodes, 1).await;
    nodes.remove(at).kill().await;
    let started = Instant::now();
    leader(&nodes, 1).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_paths_that_work_one_way_only_lose_nothing() {
    let net = sleepy();
    let nodes = three(&net, &[1]).await;
    let mut commands = Vec::new();
    for round in 0..8_usize {
        let at = leader(&nodes, 1).await;
        asleep(&nodes, 1).await;
        let (lead, one, other) = (nodes[at].number, nodes[(at + 1) % 3].number, nodes[(at + 2) % 3].number);
        let cuts: &[(u8, u8)] = match round % 8 {
            0 => &[(lead, one)],
            1 => &[(one, lead)],
            2 => &[(lead, one), (lead, other)],
            3 => &[(one, lead), (other, lead)],
            4 => &[(one, other)],
            5 => &[(lead, one), (other, lead)],
            6 => &[(one, lead), (one, other)],
            _ => &[(lead, one), (lead, other), (one, lead), (other, lead)],
        };
        for (from, to) in cuts {
            net.cut(*from, *to);
        }
        // Sometimes at once, sometimes after the pings found out.
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        let started = Instant::now();
        commands.push(put_somewhere(&nodes, 1, &format!("cut {round}")).await);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(4), "round {round}: {took:?}");
        net.heal();
        let started = Instant::now();
        commands.push(put_somewhere(&nodes, 1, &format!("healed {round}")).await);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(4), "round {round}: {took:?}");
    }
    all_hold(&nodes, 1, &commands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_proposals_that_race_the_fall_into_sleep_are_taken() {
    let net = sleepy();
    *net.hibernation.lock().unwrap() = Some(Hibernation::After(Duration::from_millis(100)));
    let nodes = three(&net, &[1]).await;
    leader(&nodes, 1).await;
    let mut commands = Vec::new();
    let mut slept = 0;
    for n in 0..120_u64 {
        // Around the moment at which it falls asleep.
        tokio::time::sleep(Duration::from_millis(95 + n % 60)).await;
        slept += u32::from(nodes.iter().any(|node| handle(node, 1).status().sleeping));
        let command = format!("race {n}").into_bytes();
        let started = Instant::now();
        handle(&nodes[usize::try_from(n % 3).unwrap()], 1).propose(command.clone()).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "{n}: {:?}", started.elapsed());
        commands.push(command);
    }
    assert!(slept > 20, "{slept}");
    all_hold(&nodes, 1, &commands).await;
}
