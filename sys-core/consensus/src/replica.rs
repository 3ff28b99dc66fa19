//! One running replica: what its handles, its tasks and the peer stream share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_domain::{GroupId, ReplicaId};
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::raft::linearizable_read::LinearizerOption;
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::adapter::{self, SharedMachine};
use crate::floors::Floors;
use crate::freshness::Freshness;
use crate::liveness::Liveness;
use crate::log::Witness;
use crate::net::{Incoming, Peers, own_commit, quorum_age};
use crate::proof::Proof;
use crate::propose::{Fate, Proposal, Way};
use crate::reads::{self, Ask};
use crate::sleep::Sleep;
use crate::snapshot::SnapshotStore;
use crate::stall::Stall;
use crate::types::{Raft, Vote};
use crate::{Applied, Floor, GroupStatus, Member, Role, limits};

/// See the module.
pub(crate) struct Replica {
    group: GroupId,
    id: ReplicaId,
    raft: Raft,
    machine: SharedMachine,
    snapshots: Arc<SnapshotStore>,
    peers: Arc<Peers>,
    status: watch::Receiver<GroupStatus>,
    applied: watch::Receiver<Option<u64>>,
    incoming: Mutex<Option<Incoming>>,
    proposals: mpsc::Sender<Proposal>,
    asks: mpsc::Sender<Ask>,
    stop: watch::Sender<bool>,
    /// Read while the library is asked something; written before it is stopped, so that nobody finds it gone.
    in_use: RwLock<()>,
    freshness: Freshness,
    sleep: Sleep,
    liveness: Arc<Liveness>,
    publish: Arc<watch::Sender<GroupStatus>>,
    log: Witness,
    floors: Arc<Floors>,
    proof: Proof,
    stall: Arc<Stall>,
    rules: Rules,
}

/// What the options say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The shortest silence before a follower campaigns.
    pub(crate) election_min: Duration,
    /// How long a leader's lease counts for reads.
    pub(crate) lease: Duration,
    /// Whether it may sleep.
    pub(crate) hibernates: bool,
}

/// What a replica is made of.
pub(crate) struct Parts {
    pub(crate) group: GroupId,
    pub(crate) id: ReplicaId,
    pub(crate) raft: Raft,
    pub(crate) machine: SharedMachine,
    pub(crate) snapshots: Arc<SnapshotStore>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) status: watch::Receiver<GroupStatus>,
    pub(crate) applied: watch::Receiver<Option<u64>>,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) publish: Arc<watch::Sender<GroupStatus>>,
    pub(crate) log: Witness,
    pub(crate) floors: Arc<Floors>,
    pub(crate) stall: Arc<Stall>,
    pub(crate) rules: Rules,
}

impl Replica {
    /// Starts the replica's own tasks.
    pub(crate) fn start(parts: Parts) -> Arc<Self> {
        let Parts {
            group,
            id,
            raft,
            machine,
            snapshots,
            peers,
            status,
            applied,
            liveness,
            publish,
            log,
            floors,
            stall,
            rules,
        } = parts;
        let (proposals, proposed) = mpsc::channel(limits::PROPOSE_QUEUE);
        let (asks, asked) = mpsc::channel(limits::PROPOSE_QUEUE);
        let replica = Arc::new(Self {
            group,
            id,
            raft,
            machine,
            snapshots,
            peers,
            status,
            applied,
            incoming: Mutex::new(None),
            proposals,
            asks,
            stop: watch::Sender::new(false),
            in_use: RwLock::new(()),
            freshness: Freshness::new(),
            sleep: Sleep::new(),
            liveness,
            publish,
            log,
            floors,
            proof: Proof::new(),
            stall,
            rules,
        });
        tokio::spawn(crate::propose::run(replica.clone(), proposed));
        tokio::spawn(reads::run(replica.clone(), asked));
        replica
    }

    pub(crate) fn group(&self) -> GroupId {
        self.group
    }

    pub(crate) fn id(&self) -> ReplicaId {
        self.id
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    pub(crate) fn snapshots(&self) -> &Arc<SnapshotStore> {
        &self.snapshots
    }

    pub(crate) fn incoming(&self) -> &Mutex<Option<Incoming>> {
        &self.incoming
    }

    pub(crate) fn member(&self, replica: ReplicaId) -> Option<Member> {
        self.peers.member(replica)
    }

    pub(crate) fn status(&self) -> &watch::Receiver<GroupStatus> {
        &self.status
    }

    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.clone()
    }

    /// Who leads, as far as this replica knows at this moment.
    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        self.raft.metrics().borrow_watched().current_leader.map(ReplicaId)
    }

    pub(crate) fn leads(&self) -> bool {
        self.raft.metrics().borrow_watched().state.is_leader()
    }

    /// The term of this replica's lead, once it has applied an entry of that term.
    pub(crate) fn leading_term(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let applied = metrics.last_applied?.leader_id;
        (metrics.state.is_leader() && applied.term == metrics.current_term && applied.node_id == self.id.0)
            .then_some(metrics.current_term)
    }

    /// Queues a command. Never waits.
    pub(crate) fn submit(
        &self,
        command: Bytes,
        way: Way,
        patience: Duration,
    ) -> Result<oneshot::Receiver<Result<Applied, Fate>>, Fate> {
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { command, way, deadline: Instant::now() + patience, reply };
        self.proposals.try_send(proposal).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Fate::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Fate::Stopped,
        })?;
        Ok(answer)
    }

    /// Commits commands that a member passed on, if this replica leads.
    pub(crate) async fn propose_as_leader(&self, commands: &[Bytes]) -> Vec<Result<Applied, Fate>> {
        let patience = limits::DEFAULT_PATIENCE;
        let submitted: Vec<_> =
            commands.iter().map(|command| self.submit(command.clone(), Way::Here, patience)).collect();
        let mut fates = Vec::with_capacity(submitted.len());
        for submitted in submitted {
            fates.push(match submitted {
                Ok(answer) => answer.await.unwrap_or(Err(Fate::Unknown)),
                Err(fate) => Err(fate),
            });
        }
        fates
    }

    /// The index that a linearizable read must wait for, from whoever leads.
    pub(crate) async fn read_index(&self) -> Option<u64> {
        let (ask, answer) = oneshot::channel();
        self.asks.send(ask).await.ok()?;
        answer.await.ok().flatten()
    }

    /// As [`Self::read_index`], if this replica leads.
    pub(crate) async fn read_index_as_leader(&self) -> Option<u64> {
        if self.leads() { self.read_index().await } else { None }
    }

    pub(crate) fn sleep(&self) -> &Sleep {
        &self.sleep
    }

    pub(crate) fn floors(&self) -> &Floors {
        &self.floors
    }

    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    pub(crate) fn stall(&self) -> &Stall {
        &self.stall
    }

    /// What the disk holds: nothing that was acknowledged may be above it.
    pub(crate) fn held(&self) -> Floor {
        let Floor { term, index } = self.log.held();
        let snapshot = self.snapshots.current().and_then(|(meta, _)| meta.last_log_id);
        Floor { term, index: index.max(snapshot.map_or(0, |id| id.index)) }
    }

    /// What the registry may hold against it after a restart: committed, so that no leader cuts it off, and synced.
    pub(crate) fn acknowledged(&self) -> Option<Floor> {
        let committed = self.raft.metrics().borrow_watched().local_committed?;
        let Floor { term, index } = self.log.held();
        Some(Floor { term, index: index.min(committed.index) })
    }

    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub(crate) fn hibernates(&self) -> bool {
        self.rules.hibernates
    }

    pub(crate) fn election_min(&self) -> Duration {
        self.rules.election_min
    }

    /// Changes what the status says beside the library's metrics.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut GroupStatus)) {
        self.publish.send_modify(change);
    }

    /// The vote that it holds.
    pub(crate) fn vote(&self) -> Vote {
        self.raft.metrics().borrow_watched().vote
    }

    pub(crate) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The index that a read must wait for, if this replica leads under a lease that holds: no round, no waiting.
    pub(crate) async fn leased_index(&self) -> Option<u64> {
        if !self.leads() {
            return None;
        }
        self.sleep.touch();
        let leased = LinearizerOption::new(Some(self.rules.lease), false).with_wait_timeout(Duration::ZERO);
        let (read, _) = self.raft.get_read_log_id(leased).await.ok()?;
        Some(read.index())
    }

    /// The index to have applied for an answer that misses at most what was committed in the last `age`.
    pub(crate) fn index_within(&self, age: Duration) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() {
            return self.freshness.within(Instant::now(), age);
        }
        let committed = own_commit(&metrics, self.id)?;
        (quorum_age(&metrics, self.id)? <= age).then_some(committed)
    }

    /// Held while the library is asked something; `None` once the replica stops.
    pub(crate) fn enter(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let entered = self.in_use.try_read().ok()?;
        (!*self.stop.borrow()).then_some(entered)
    }

    /// Voters that could lead now, the most advanced first: they answered lately.
    pub(crate) fn successors(&self) -> Vec<ReplicaId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.voter_ids().filter(|voter| *voter != self.id.0);
        let heard = |voter: &u64| {
            let acked = metrics.heartbeat.as_ref()?.get(voter)?.as_ref()?;
            (acked.into_inner().elapsed() < self.rules.election_min).then_some(())
        };
        let matched = |voter: u64| metrics.replication.as_ref()?.get(&voter).copied().flatten();
        let mut able: Vec<_> = voters.filter(|voter| heard(voter).is_some()).collect();
        able.sort_by_key(|voter| std::cmp::Reverse(matched(*voter)));
        able.into_iter().map(ReplicaId).collect()
    }

    /// Resolves when the replica is told to stop.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stopped| *stopped).await;
    }

    pub(crate) fn has_stopped(&self) -> bool {
        *self.stop.borrow() || self.status.borrow().role == Role::Stopped
    }

    /// Stops, and makes what the machine applied durable.
    pub(crate) async fn shut_down(&self) {
        if self.stop.send_replace(true) {
            return;
        }
        self.raft.runtime_config().tick(false);
        self.peers.stopping();
        let _unused = timeout(limits::STOP_PATIENCE, self.in_use.write()).await;
        // Answers that were on their way still find the library.
        tokio::time::sleep(limits::STOP_PAUSE).await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(group = %self.group, %error, "replica_did_not_stop_cleanly");
        }
        self.incoming.lock().await.take();
        if let Err(error) = adapter::sync(self.machine.clone()).await {
            tracing::error!(group = %self.group, %error, "machine_not_synced_at_stop");
        }
    }
}
