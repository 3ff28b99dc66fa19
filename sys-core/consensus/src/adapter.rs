//! Between the consensus library and a [`StateMachine`].

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{FutureExt as _, Stream, StreamExt as _};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use crate::codec::MetaEncoder;
use crate::snapshot::{SnapshotFile, SnapshotStore};
use crate::stall::Stall;
use crate::types::{Entry, LogId, Payload, Results, SnapshotMeta, StoredMembership, Types};
use crate::{Barrier, Command, MachineError, Pace, SnapshotView, StateMachine, codec, limits};

type Snapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

/// The machine, shared with what makes its barriers.
pub(crate) type SharedMachine = Arc<Mutex<Box<dyn StateMachine>>>;

/// See the module.
pub(crate) struct Adapter {
    machine: SharedMachine,
    snapshots: Arc<SnapshotStore>,
    applied: Option<LogId>,
    membership: StoredMembership,
    meta: MetaEncoder,
    /// Calls of the machine.
    pace: Arc<Pace>,
    progress: watch::Sender<Option<u64>>,
    stall: Arc<Stall>,
}

impl Adapter {
    /// Asks the machine where it is. `progress` follows the applied index.
    pub(crate) fn new(
        machine: SharedMachine,
        snapshots: Arc<SnapshotStore>,
        progress: watch::Sender<Option<u64>>,
        stall: Arc<Stall>,
    ) -> io::Result<Self> {
        let meta = lock(&machine).load_meta().map_err(io::Error::other)?;
        let SnapshotMeta { last_log_id, last_membership } = match meta {
            Some(meta) => codec::decode_meta(&meta).map_err(io::Error::other)?,
            None => SnapshotMeta::default(),
        };
        progress.send_replace(last_log_id.map(|id| id.index));
        let (applied, membership) = (last_log_id, last_membership);
        let meta = MetaEncoder::new(&membership).map_err(io::Error::other)?;
        Ok(Self { machine, snapshots, applied, membership, meta, pace: Arc::default(), progress, stall })
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    fn set_membership(&mut self, membership: StoredMembership) -> io::Result<()> {
        self.meta = MetaEncoder::new(&membership).map_err(io::Error::other)?;
        self.membership = membership;
        Ok(())
    }

    fn moved(&self) {
        self.progress.send_replace(self.applied.map(|id| id.index));
    }

    /// Applies entries with one call of the machine and answers those who wait.
    fn apply_batch(&mut self, batch: Vec<EntryResponder<Types>>) -> io::Result<()> {
        let (entries, responders): (Vec<Entry>, Vec<Option<ApplyResponder<Types>>>) =
            batch.into_iter().unzip();
        let mut commands = Vec::new();
        for entry in &entries {
            self.applied = Some(entry.log_id);
            match &entry.payload {
                Payload::Blank => {}
                Payload::Normal(batch) => commands.extend((0..).zip(batch.0.iter()).map(|(sub, bytes)| {
                    Command { index: entry.log_id.index, sub, term: entry.log_id.leader_id.term, bytes }
                })),
                Payload::Membership(membership) => {
                    self.set_membership(StoredMembership::new(Some(entry.log_id), membership.clone()))?;
                }
            }
        }
        let meta = self.meta.encode(self.applied).map_err(io::Error::other)?;
        let results = lock(&self.machine).apply(&commands, &meta).map_err(io::Error::other)?;
        if results.len() != commands.len() {
            return Err(io::Error::other("the state machine did not answer every command"));
        }
        self.moved();
        let mut results = results.into_iter();
        for (entry, responder) in entries.iter().zip(responders) {
            let of_entry = match &entry.payload {
                Payload::Normal(batch) => results.by_ref().take(batch.0.len()).collect(),
                Payload::Blank | Payload::Membership(_) => Vec::new(),
            };
            if let Some(responder) = responder {
                responder.send(Results(of_entry));
            }
        }
        Ok(())
    }
}

fn lock(machine: &SharedMachine) -> MutexGuard<'_, Box<dyn StateMachine>> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size((entry, _): &EntryResponder<Types>) -> usize {
    match &entry.payload {
        Payload::Normal(commands) => commands.bytes(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

/// Runs a job that blocks.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(job).await.map_err(io::Error::other)?
}

/// So many bytes of commands take their time.
const LARGE: usize = 64 << 10;

/// Runs a job that may wait, here and now: the runtime's other tasks, heartbeats of other groups among them, go on with another thread
/// meanwhile. Machines that wait for somebody in [`StateMachine::apply`] do that in here; a disk's stall may be waited for without.
pub fn in_place<T>(job: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(job),
        // There is no other thread to go on with.
        _ => job(),
    }
}

/// Makes what a machine has applied so far durable.
pub(crate) async fn sync(machine: SharedMachine) -> io::Result<()> {
    blocking(move || {
        let barrier = lock(&machine).barrier();
        barrier().map_err(io::Error::other)
    })
    .await
}

impl RaftStateMachine<Types> for Adapter {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.next().await {
            let mut batch = vec![first?];
            let mut bytes = batch.iter().map(size).sum::<usize>();
            // Whatever is committed already goes into the same write of the machine.
            while batch.len() < limits::MAX_APPLY_ENTRIES
                && bytes < limits::MAX_APPEND_BYTES
                && let Some(Some(next)) = entries.next().now_or_never()
            {
                let next = next?;
                bytes = bytes.saturating_add(size(&next));
                batch.push(next);
            }
            self.stall.begin();
            let pace = Arc::clone(&self.pace);
            let applied = if bytes < LARGE && pace.is_quick() {
                pace.watch(|| self.apply_batch(batch))
            } else {
                in_place(|| pace.watch(|| self.apply_batch(batch)))
            };
            self.stall.end();
            applied?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let (view, barrier) = in_place(|| {
            let mut machine = lock(&self.machine);
            (machine.snapshot(), machine.barrier())
        });
        Builder {
            meta: self.meta(),
            parts: Mutex::new(Some((view, barrier))),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let (machine, snapshots, of) = (self.machine.clone(), self.snapshots.clone(), meta.clone());
        let bytes = codec::encode_meta(meta.last_log_id, &meta.last_membership).map_err(io::Error::other)?;
        blocking(move || {
            // First the file, then the machine: a crash in between finds the file and installs it at start.
            snapshots.adopt(&of, &snapshot)?;
            let mut machine = lock(&machine);
            machine.install(&mut snapshot.reader()?, &bytes).map_err(io::Error::other)?;
            let barrier = machine.barrier();
            drop(machine);
            barrier().map_err(io::Error::other)
        })
        .await?;
        self.applied = meta.last_log_id;
        self.set_membership(meta.last_membership.clone())?;
        self.moved();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.snapshots.current().map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

type Parts = (Result<Box<dyn SnapshotView>, MachineError>, Barrier);

/// Writes one snapshot beside the running machine.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    /// In a lock only because the library wants its builders shareable.
    parts: Mutex<Option<Parts>>,
    snapshots: Arc<SnapshotStore>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (view, barrier) = self
            .parts
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| io::Error::other("a builder builds once"))?;
        let (meta, snapshots) = (self.meta.clone(), self.snapshots.clone());
        let (meta, snapshot) = blocking(move || {
            // Barrier, file, and only then the purge: the machine never comes back older than the log begins.
            barrier().map_err(io::Error::other)?;
            let mut new = snapshots.create(meta, true)?;
            view.map_err(io::Error::other)?.write_to(new.writer()).map_err(io::Error::other)?;
            let (meta, file) = new.finish()?;
            snapshots.adopt(&meta, &file)?;
            Ok((meta, file))
        })
        .await?;
        Ok(Snapshot { meta, snapshot })
    }
}
