//! The Raft log and snapshots: a group of one whose machine is in memory, so that everything comes back from them.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use holdfast_consensus::{
    Command, Compaction, ConnectError, Group, Groups, MachineError, Member, Options, PeerConnector,
    PeerDirectory, PeerTarget, Pin, SnapshotView, StateMachine, Timing,
};
use holdfast_domain::{GroupId, NodeId, ReplicaId, SpkiHash};
use holdfast_keys::LocalKey;

use super::{Fault, refused};
use crate::child::acknowledge;

const GROUP: GroupId = GroupId(1);
const REPLICA: ReplicaId = ReplicaId(11);
const SOON: Duration = Duration::from_secs(10);

type Numbers = BTreeSet<u64>;

#[derive(Default, Clone)]
struct Machine(Arc<Mutex<Numbers>>);

struct View(Numbers);

impl SnapshotView for View {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), MachineError> {
        self.0.iter().try_for_each(|n| out.write_all(&n.to_be_bytes()))?;
        Ok(())
    }
}

impl StateMachine for Machine {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(None)
    }

    fn apply(&mut self, commands: &[Command<'_>], _meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        let mut numbers = self.0.lock().unwrap();
        Ok(commands
            .iter()
            .map(|command| {
                numbers.insert(u64::from_be_bytes(command.bytes[..8].try_into().unwrap()));
                Vec::new()
            })
            .collect())
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        Ok(Box::new(View(self.0.lock().unwrap().clone())))
    }

    fn install(&mut self, snapshot: &mut dyn Read, _meta: &[u8]) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        let (numbers, _) = bytes.as_chunks::<8>();
        *self.0.lock().unwrap() = numbers.iter().copied().map(u64::from_be_bytes).collect();
        Ok(())
    }
}

/// There is nobody else.
struct Alone;

impl PeerConnector for Alone {
    fn connect(
        &self,
        target: PeerTarget,
    ) -> BoxFuture<'static, Result<tonic::transport::Channel, ConnectError>> {
        Box::pin(async move { Err(ConnectError { target: target.id, source: "nobody is there".into() }) })
    }
}

impl PeerDirectory for Alone {
    fn member(&self, _: GroupId, _: ReplicaId) -> Option<Member> {
        None
    }
}

fn member() -> Member {
    Member { node: NodeId::new([1; 16]), address: "node-1:1".into(), pin: Pin::Key(SpkiHash::new([1; 32])) }
}

async fn start(folder: &Path, machine: Machine) -> Result<(Groups, Group), Fault> {
    let mut options = Options::new(folder.join("raft"));
    let millis = Duration::from_millis;
    options.timing = Timing::new(millis(30), millis(100), millis(200)).unwrap();
    // Snapshots and purges happen on the way.
    options.compaction = Compaction { entries: 60, keep: 10, bytes_per_second: u64::MAX };
    let key = LocalKey::from_bytes([1; 32]);
    let groups = Groups::open(options, key, Arc::new(Alone), Arc::new(Alone)).await.map_err(refused)?;
    let group = groups.start(GROUP, REPLICA, Box::new(machine)).await.map_err(refused)?;
    Ok((groups, group))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

pub(super) fn write(folder: &Path, first: u64) -> Fault {
    run(async {
        let (_groups, group) = match start(folder, Machine::default()).await {
            Ok(started) => started,
            Err(fault) => return fault,
        };
        if first == 1 {
            drop(group.bootstrap([(REPLICA, member())].into()).await);
        }
        if let Err(error) = group.wait_leading(SOON).await {
            return refused(error);
        }
        for n in first.. {
            // Of very different lengths, up to many sectors.
            let mut command = n.to_be_bytes().to_vec();
            command.resize(8 + usize::try_from(n * 97 % 3000).unwrap(), 7);
            if let Err(error) = group.propose(command).await {
                return refused(error);
            }
            acknowledge(n);
        }
        Fault::Refused("there are no more numbers".to_owned())
    })
}

pub(super) fn check(folder: &Path, acknowledged: u64) -> Result<u64, Fault> {
    run(async {
        let machine = Machine::default();
        let (groups, group) = start(folder, machine.clone()).await?;
        if acknowledged == 0 && group.status().membership.voters.is_empty() {
            return Ok(0);
        }
        group.wait_leading(SOON).await.map_err(refused)?;
        tokio::time::timeout(SOON, group.read_index()).await.map_err(refused)?.map_err(refused)?;
        let numbers = machine.0.lock().unwrap().clone();
        groups.shutdown().await;
        let last = numbers.last().copied().unwrap_or(0);
        let whole = numbers.iter().copied().eq(1..=last);
        if whole { Ok(last) } else { Err(Fault::Wrong(format!("not all of 1 to {last} are there"))) }
    })
}
