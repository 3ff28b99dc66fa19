//! The groups of one process.

mod error;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_keys::LocalKey;
use holdfast_proto::consensus::v1::raft_server::RaftServer;
use openraft::Config;
use tokio::sync::watch;

pub use self::error::StartError;
use self::start::{campaign_alone, config};
use crate::liveness::Liveness;
use crate::log::{GroupLog, LogEngine};
use crate::net::{Hosted, Links, RaftService};
use crate::replica::Replica;
use crate::{
    Floor, Group, LogOpenError, Options, PeerAuth, PeerConnector, PeerDirectory, StateMachine, folders,
    limits,
};

/// How long a leader that stops waits for its successor.
const HAND_OVER: Duration = Duration::from_secs(1);

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
