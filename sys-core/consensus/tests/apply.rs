//! Applying: a machine that waits for its disk holds nobody else up.

#![allow(clippy::unwrap_used, reason = "tests only")]

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use holdfast_consensus::{Command, Group, MachineError, SnapshotView, StateMachine};
use holdfast_domain::{GroupId, ReplicaId};
use support::{Counter, Net, Node, SOON, members};

const GROUP: GroupId = GroupId(5);

/// A machine on a slow disk.
struct Slow(Counter, Duration);

impl StateMachine for Slow {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        self.0.load_meta()
    }

    fn apply(&mut self, commands: &[Command<'_>], meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        std::thread::sleep(self.1);
        self.0.apply(commands, meta)
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        self.0.snapshot()
    }

    fn install(&mut self, snapshot: &mut dyn Read, meta: &[u8]) -> Result<(), MachineError> {
        self.0.install(snapshot, meta)
    }
}

async fn lone(node: &Node, pause: Duration) -> Group {
    let machine = Box::new(Slow(Counter::default(), pause));
    let group = node.groups.start(GROUP, ReplicaId(51), machine).await.unwrap();
    group.bootstrap(members(5, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    group
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_machine_does_not_stop_the_only_worker() {
    let node = Node::start(1, &Net::default()).await;
    let group = lone(&node, Duration::from_millis(500)).await;
    let ticks = tokio::spawn(async {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest
    });
    group.propose(b"slow".to_vec()).await.unwrap();
    let longest = ticks.await.unwrap();
    assert!(longest < Duration::from_millis(300), "the worker stood still for {longest:?}");
}

#[tokio::test]
async fn a_single_threaded_runtime_applies_too() {
    let node = Node::start(1, &Net::default()).await;
    let group = lone(&node, Duration::ZERO).await;
    group.propose(b"one".to_vec()).await.unwrap();
}

/// A figure to compare changes with, not a limit: run it with `--ignored --nocapture`, `TMPDIR` in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_of_a_lone_replica() {
    let node = Node::start(1, &Net::default()).await;
    let group = lone(&node, Duration::ZERO).await;
    for clients in [1_u32, 64] {
        let started = Instant::now();
        let each = 12_800 / clients / (if clients == 1 { 4 } else { 1 });
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let group = group.clone();
                tokio::spawn(async move {
                    for n in 0..each {
                        group.propose([client, n % 100].map(u32::to_be_bytes).concat()).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = f64::from(clients * each) / started.elapsed().as_secs_f64();
        println!("{clients} clients: {rate:.0} proposals a second");
    }
}
