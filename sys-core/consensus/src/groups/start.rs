//! Starting one replica: its log, its snapshots and its machine, put together under the library.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_keys::aead::Cipher;
use holdfast_keys::derive;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;

use super::{Inner, StartError};
use crate::adapter::Adapter;
use crate::floors::Floors;
use crate::log::{GroupLog, GroupLogError};
use crate::net::{Network, Peers};
use crate::replica::{Parts, Replica, Rules};
use crate::snapshot::SnapshotStore;
use crate::stall::Stall;
use crate::types::Raft;
use crate::{Group, Hibernation, Options, StateMachine, limits, watcher};

impl Inner {
    pub(super) fn snapshot_dir(&self, group: GroupId, replica: ReplicaId) -> PathBuf {
        self.options.dir.join("snapshots").join(format!("{group}-{replica}"))
    }

    pub(super) async fn start(
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
pub(super) async fn campaign_alone(group: &Group) {
    let voters = group.status().membership.voters.clone();
    if voters.len() == 1 && voters.contains(&group.replica()) && group.status().rolled_back().is_none() {
        group.elect().await;
    }
}

pub(super) fn config(options: &Options) -> io::Result<Config> {
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
