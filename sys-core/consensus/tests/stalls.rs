//! A replica whose machine waits, with its log in order, leads nobody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests only")]

mod support;

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};

use holdfast_consensus::{Command, MachineError, SnapshotView, StateMachine};
use holdfast_domain::{GroupId, ReplicaId};
use support::{Counter, Net, Node, SOON, leader, members, replica, until};

const GROUP: GroupId = GroupId(1);

/// Closed, nothing that has commands is applied.
#[derive(Default, Clone)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn close(&self, closed: bool) {
        *self.0.0.lock().unwrap() = closed;
        self.0.1.notify_all();
    }
}

struct Gated(Counter, Gate);

impl StateMachine for Gated {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        self.0.load_meta()
    }

    fn apply(&mut self, commands: &[Command<'_>], meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        let Gate(gate) = &self.1;
        let closed = gate.0.lock().unwrap();
        drop(gate.1.wait_while(closed, |closed| *closed && !commands.is_empty()).unwrap());
        self.0.apply(commands, meta)
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        self.0.snapshot()
    }

    fn install(&mut self, snapshot: &mut dyn Read, meta: &[u8]) -> Result<(), MachineError> {
        self.0.install(snapshot, meta)
    }
}

async fn three(net: &Net) -> (Vec<Node>, Vec<Gate>) {
    let (mut nodes, mut gates) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let mut node = Node::start(number, net).await;
        let (counter, gate) = (Counter::default(), Gate::default());
        node.machines.insert(GROUP, counter.clone());
        let machine = Box::new(Gated(counter, gate.clone()));
        node.groups.start(GROUP, ReplicaId(replica(1, number).0), machine).await.unwrap();
        nodes.push(node);
        gates.push(gate);
    }
    for node in &nodes {
        node.groups.get(GROUP).unwrap().bootstrap(members(1, &[1, 2, 3])).await.unwrap();
    }
    (nodes, gates)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_leader_whose_machine_waits_gives_up_the_lead_and_catches_up() {
    let (nodes, gates) = three(&Net::default()).await;
    let at = leader(&nodes, 1).await;
    let group = |at: usize| nodes[at].groups.get(GROUP).unwrap();
    gates[at].close(true);
    let waiting = group(at);
    let stuck = tokio::spawn(async move { waiting.propose(b"one".to_vec()).await });
    let others = [(at + 1) % 3, (at + 2) % 3];
    until("another leads", || others.iter().any(|other| group(*other).leading_term().is_some())).await;
    group(others[0]).propose(b"two".to_vec()).await.unwrap();
    assert_eq!(nodes[at].count(GROUP, b"two"), 0);
    gates[at].close(false);
    until("it catches up", || nodes[at].count(GROUP, b"two") == 1 && nodes[at].count(GROUP, b"one") == 1)
        .await;
    drop(stuck.await.unwrap());
    // It leads again if it is asked to, once it was seen to go on.
    let id = group(at).replica();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let now = leader(&nodes, 1).await;
    group(now).transfer_leader(id, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_follower_whose_machine_waits_is_not_elected() {
    for _ in 0..3 {
        let (mut nodes, mut gates) = three(&Net::default()).await;
        let at = leader(&nodes, 1).await;
        let waiting = (at + 1) % 3;
        gates[waiting].close(true);
        nodes[at].groups.get(GROUP).unwrap().propose(b"one".to_vec()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        // Nobody hands the lead to it.
        let id = nodes[waiting].groups.get(GROUP).unwrap().replica();
        let led = nodes[at].groups.get(GROUP).unwrap();
        assert!(led.transfer_leader(id, SOON).await.is_err());
        assert!(led.leading_term().is_some());
        gates.swap_remove(at);
        nodes.swap_remove(at).kill().await;
        let ready = nodes.iter().position(|node| node.groups.get(GROUP).unwrap().replica() != id).unwrap();
        let group = nodes[ready].groups.get(GROUP).unwrap();
        until("the other leads", || group.leading_term().is_some()).await;
        group.propose(b"two".to_vec()).await.unwrap();
        for gate in &gates {
            gate.close(false);
        }
        until("it follows", || nodes.iter().all(|node| node.count(GROUP, b"two") == 1)).await;
    }
}

/// Nobody would do better.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn where_all_machines_wait_the_leader_stays() {
    let (nodes, gates) = three(&Net::default()).await;
    let at = leader(&nodes, 1).await;
    let group = nodes[at].groups.get(GROUP).unwrap();
    let term = group.status().term;
    for gate in &gates {
        gate.close(true);
    }
    let waiting = group.clone();
    let put = tokio::spawn(async move { waiting.propose(b"one".to_vec()).await });
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    for gate in &gates {
        gate.close(false);
    }
    put.await.unwrap().unwrap();
    assert_eq!((group.status().term, group.leading_term()), (term, Some(term)));
    group.propose(b"two".to_vec()).await.unwrap();
}
