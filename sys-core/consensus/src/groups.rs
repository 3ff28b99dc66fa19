//! The groups of one process.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_keys::aead::Cipher;
use holdfast_keys::{LocalKey, derive};
use holdfast_proto::consensus::v1::raft_server::RaftServer;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;

use crate::adapter::Adapter;
use crate::floors::Floors;
use crate::liveness::Liveness;
use crate::log::{GroupLog, GroupLogError, LogEngine};
use crate::net::{Hosted, Links, Network, Peers, RaftService};
use crate::replica::{Parts, Replica, Rules};
use crate::snapshot::SnapshotStore;
use crate::stall::Stall;
use crate::types::Raft;
use crate::{
    Floor, Group, Hibernation, LogOpenError, Options, PeerAuth, PeerConnector, PeerDirectory, StateMachine,
    folders, limits, watcher,
};

/// How long a leader that stops waits for its successor.
const HAND_OVER: Duration = Duration::from_secs(1);

/// A replica could not be started or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A replica of the group runs here.
    #[error("group {group} runs here already")]
    Running {
        /// Which group.
        group: GroupId,
    },
    /// The disk holds another replica of the group, which must be removed first: replica ids never come back.
    #[error("the log holds replica {stored} of group {group}, not {wanted}")]
    OtherReplica {
        /// Which group.
        group: GroupId,
        /// Whose log it is.
        stored: ReplicaId,
        /// Who was to start.
        wanted: ReplicaId,
    },
    /// Its log is damaged: this replica must not vote again.
    #[error("the log of group {group} is damaged ({detail}): replace this replica, do not reuse its id")]
    Damaged {
        /// Which group.
        group: GroupId,
        /// What was found.
        detail: String,
    },
    /// The state machine or the snapshot cannot be read, or they contradict the log.
    #[error("the state of group {group} cannot be used")]
    State {
        /// Which group.
        group: GroupId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process shuts down.
    #[error("the process shuts down")]
    Closed,
}

/// Everything consensus in one process. Cheap to clone.
#[derive(Clone)]
pub struct Groups(Arc<Inner>);

struct Inner {
    options: Options,
    config: Arc<Config>,
    local: LocalKey,
    log: Arc<LogEngine>,
    links: Arc<Links>,
    directory: Arc<dyn PeerDirectory>,
    hosted: Hosted,
    liveness: Arc<Liveness>,
    /// Ends the streams of peers.
    closing: watch::Sender<bool>,
    /// Held while a group starts or goes away.
    changing: tokio::sync::Mutex<bool>,
}

impl Groups {
    /// Opens the log in `options.dir`, sealed under keys derived from `local`, which nobody else needs.
    ///
    /// # Errors
    /// See [`LogOpenError`].
    pub async fn open(
        options: Options,
        local: LocalKey,
        connector: Arc<dyn PeerConnector>,
        directory: Arc<dyn PeerDirectory>,
    ) -> Result<Self, LogOpenError> {
        let dir = options.dir.clone();
        let io_error = |source| LogOpenError::Io { dir: dir.clone(), source };
        let config = config(&options).map_err(io_error)?;
        folders::make_private(&options.dir).map_err(io_error)?;
        let log_dir = options.dir.join("log");
        let opened = tokio::task::spawn_blocking(move || (LogEngine::open(&log_dir, &local), local)).await;
        let (log, local) = opened.map_err(|error| io_error(io::Error::other(error)))?;
        let (hosted, liveness) = (Hosted::default(), Arc::new(Liveness::new()));
        let closing = watch::Sender::new(false);
        tokio::spawn(crate::hibernator::run(
            hosted.clone(),
            liveness.clone(),
            options.hibernation,
            closing.subscribe(),
        ));
        let (_, election_max) = options.timing.election();
        tokio::spawn(crate::stall::run(hosted.clone(), election_max, closing.subscribe()));
        Ok(Self(Arc::new(Inner {
            options,
            config: Arc::new(config),
            local,
            log: log?,
            links: Arc::new(Links::new(connector)),
            directory,
            hosted,
            liveness,
            closing,
            changing: tokio::sync::Mutex::new(true),
        })))
    }

    /// The replicas that have a log on this disk.
    pub fn stored(&self) -> Vec<(GroupId, ReplicaId)> {
        GroupLog::stored(&self.0.log)
            .into_iter()
            .map(|(group, replica)| (GroupId(group), ReplicaId(replica)))
            .collect()
    }

    /// Starts a replica, new or stored. A new one waits for [`Group::bootstrap`] or for a leader's entries.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        &self,
        group: GroupId,
        id: ReplicaId,
        machine: Box<dyn StateMachine>,
    ) -> Result<Group, StartError> {
        self.start_at(group, id, machine, None).await
    }

    async fn start_at(
        &self,
        group: GroupId,
        id: ReplicaId,
        machine: Box<dyn StateMachine>,
        floor: Option<Floor>,
    ) -> Result<Group, StartError> {
        let open = self.0.changing.lock().await;
        if !*open {
            return Err(StartError::Closed);
        }
        if self.get(group).is_some() {
            return Err(StartError::Running { group });
        }
        let replica = self.0.start(group, id, machine).await?;
        replica.begin_proof(floor);
        self.hosted_mut(|hosted| hosted.insert(group, replica.clone()));
        let group = Group::new(replica);
        campaign_alone(&group).await;
        Ok(group)
    }

    /// As [`Groups::start`], for a replica that may be alone in its group: then no peer remembers what it acknowledged, and `floor`
    /// does, as told by the registry.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_above(
        &self,
        group: GroupId,
        id: ReplicaId,
        machine: Box<dyn StateMachine>,
        floor: Floor,
    ) -> Result<Group, StartError> {
        self.start_at(group, id, machine, Some(floor)).await
    }

    /// A running group.
    pub fn get(&self, group: GroupId) -> Option<Group> {
        self.0.hosted.read().unwrap_or_else(PoisonError::into_inner).get(&group).cloned().map(Group::new)
    }

    /// The running groups.
    pub fn running(&self) -> Vec<Group> {
        self.0
            .hosted
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .map(Group::new)
            .collect()
    }

    /// Stops a group's replica. Its log and snapshots stay for the next [`Groups::start`].
    pub async fn stop(&self, group: GroupId) {
        let _changing = self.0.changing.lock().await;
        if let Some(replica) = self.hosted_mut(|hosted| hosted.remove(&group)) {
            self.0.liveness.stopped(group);
            replica.shut_down().await;
        }
    }

    /// Stops a group's replica and destroys its log and snapshots. Its replica id never comes back.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove(&self, group: GroupId) -> Result<(), StartError> {
        self.stop(group).await;
        let _changing = self.0.changing.lock().await;
        let failed = |error: io::Error| StartError::State { group, source: error.into() };
        for (_, replica) in self.stored().into_iter().filter(|(of, _)| *of == group) {
            let dir = self.0.snapshot_dir(group, replica);
            match tokio::fs::remove_dir_all(dir).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
        GroupLog::destroy(&self.0.log, group.0).await.map_err(failed)
    }

    /// The tonic service of the peer stream, to be served with the process's other services.
    pub fn service(&self, auth: Arc<dyn PeerAuth>) -> RaftServer<RaftService> {
        let limit = limits::MAX_FRAME_BYTES.saturating_add(1024);
        RaftServer::new(RaftService::new(
            self.0.hosted.clone(),
            auth,
            self.0.liveness.clone(),
            self.0.closing.subscribe(),
        ))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit)
    }

    /// Ends the streams of peers and takes no new ones, so that a server that stops need not wait for them.
    pub fn close_streams(&self) {
        self.0.closing.send_replace(true);
    }

    /// Stops every group (leaders hand over first), syncs the machines and closes the log.
    pub async fn shutdown(&self) {
        let mut open = self.0.changing.lock().await;
        *open = false;
        let running = self.running();
        futures::future::join_all(running.iter().map(|group| group.step_aside(HAND_OVER))).await;
        futures::future::join_all(running.iter().map(Group::shutdown)).await;
        self.hosted_mut(BTreeMap::clear);
        self.close_streams();
        let log = self.0.log.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
            tracing::error!(%error, "log_not_closed");
        }
    }

    fn hosted_mut<T>(&self, change: impl FnOnce(&mut BTreeMap<GroupId, Arc<Replica>>) -> T) -> T {
        change(&mut self.0.hosted.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn snapshot_dir(&self, group: GroupId, replica: ReplicaId) -> PathBuf {
        self.options.dir.join("snapshots").join(format!("{group}-{replica}"))
    }

    async fn start(
        &self,
        group: GroupId,
        id: ReplicaId,
        machine: Box<dyn StateMachine>,
    ) -> Result<Arc<Replica>, StartError> {
        let log = GroupLog::open(self.log.clone(), group.0, id.0).await.map_err(|error| match error {
            GroupLogError::OtherReplica { stored } => {
                StartError::OtherReplica { group, stored: ReplicaId(stored), wanted: id }
            }
            GroupLogError::Damaged(detail) => StartError::Damaged { group, detail },
            GroupLogError::Io(error) => StartError::State { group, source: error.into() },
        })?;
        let failed = |error: io::Error| StartError::State { group, source: error.into() };
        let snapshots = self.open_snapshots(group, id).await.map_err(failed)?;
        let machine = Arc::new(Mutex::new(machine));
        let (progress, applied) = watch::channel(None);
        let stall = Arc::new(Stall::default());
        let adapter =
            Adapter::new(machine.clone(), snapshots.clone(), progress, stall.clone()).map_err(failed)?;

        let (publish, status) = watch::channel(watcher::starting(group, id));
        let publish = Arc::new(publish);
        let witness = log.witness();
        let floors = Arc::new(Floors::new(witness.clone(), self.options.timing.heartbeat()));
        let peers = Arc::new(Peers::new(
            group,
            id,
            status.clone(),
            self.directory.clone(),
            self.links.clone(),
            floors.clone(),
            witness.clone(),
        ));
        let raft = Raft::new(id.0, self.config.clone(), Network(peers.clone()), log, adapter)
            .await
            .map_err(|error| StartError::State { group, source: Box::new(error) })?;
        peers.attach(raft.metrics());
        // Once the library answers, its metrics say what it found on the disk.
        let ready = raft.with_raft_state(|_| ()).await;
        ready.map_err(|error| StartError::State { group, source: Box::new(error) })?;
        // Published once before anybody can ask, so that a stored membership counts from the first frame on.
        let now = raft.metrics().borrow_watched().clone();
        watcher::publish(&now, &publish);
        tokio::spawn(watcher::run(raft.metrics(), publish.clone()));
        let (liveness, rules) = (self.liveness.clone(), rules(&self.options, group));
        Ok(Replica::start(Parts {
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
            log: witness,
            floors,
            stall,
            rules,
        }))
    }

    async fn open_snapshots(&self, group: GroupId, id: ReplicaId) -> io::Result<Arc<SnapshotStore>> {
        let dir = self.snapshot_dir(group, id);
        let cipher = Cipher::new(&derive::snapshot_key(&self.local));
        let rate = self.options.compaction.bytes_per_second;
        tokio::task::spawn_blocking(move || SnapshotStore::open(&dir, cipher, group.0, id.0, rate))
            .await
            .map_err(io::Error::other)?
    }
}

fn rules(options: &Options, group: GroupId) -> Rules {
    let (election_min, _) = options.timing.election();
    Rules {
        election_min,
        // Less than the time for which a replica that starts grants no vote, with room for clocks that run differently.
        lease: election_min.saturating_mul(3) / 4,
        hibernates: group != GroupId::REGISTRY && options.hibernation != Hibernation::Never,
    }
}

/// A group of one need not wait for an election timeout.
async fn campaign_alone(group: &Group) {
    let voters = group.status().membership.voters.clone();
    if voters.len() == 1 && voters.contains(&group.replica()) && group.status().rolled_back().is_none() {
        group.elect().await;
    }
}

fn config(options: &Options) -> io::Result<Config> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).map_err(io::Error::other);
    let (election_min, election_max) = options.timing.election();
    let compaction = options.compaction;
    Config {
        cluster_name: "holdfast".into(),
        heartbeat_interval: millis(options.timing.heartbeat())?,
        election_timeout_min: millis(election_min)?,
        election_timeout_max: millis(election_max)?,
        enable_pre_vote: Some(true),
        // Nobody leads without a vote, and nobody ticks before it is proven.
        enable_leader_restore: Some(false),
        enable_tick: false,
        max_payload_entries: limits::MAX_APPEND_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(compaction.entries),
        max_in_snapshot_log_to_keep: compaction.keep,
        replication_lag_threshold: compaction.entries.saturating_mul(2),
        install_snapshot_timeout: 600_000,
        ..Config::default()
    }
    .validate()
    .map_err(io::Error::other)
}
