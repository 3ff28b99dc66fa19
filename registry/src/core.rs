//! What every service of a voter works on: the replicated state, the log that changes it, and the opened secrets.
//!
//! Invariant: nothing here changes the state; every change is a command that a quorum agreed on.

mod log;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, Ordering},
};

use holdfast_domain::{KeyGeneration, NodeId, Reason, SpiffeSubject, UnixMs};
use holdfast_keys::{Crk, Signer, SoftSigner, labels, sign};
use holdfast_registry_state::{Act, Applied, Command, Outcome, Planned, PutMap, State};
use holdfast_sys_core::{Clock, Refusal, server::Stopping};
use tokio::sync::watch;

use crate::{authority::Authorities, cluster::Cluster, health::Health, state_host::StateHost};

pub use log::Log;

/// How often a change of the map is planned again after another change came first.
const MAP_ATTEMPTS: u32 = 8;

/// The registry's own secrets, opened with its key.
pub struct Secrets {
    /// The registry's key, to wrap it to new voters.
    pub crk: Crk,
    /// Which generation of it.
    pub generation: KeyGeneration,
    /// Issues everybody's leaves.
    pub authorities: Authorities,
    /// Signs shard maps.
    pub map_key: SoftSigner,
}

/// What a [`Core`] is made of.
pub struct CoreParts {
    /// This machine.
    pub me: NodeId,
    /// The cluster.
    pub cluster: Cluster,
    /// The registry's group.
    pub log: Arc<dyn Log>,
    /// The state that the group's machine writes.
    pub host: StateHost,
    /// Signs as this machine; its TPM does, so it blocks.
    pub signer: Arc<dyn Signer>,
    /// The time.
    pub clock: Clock,
    /// Ends streams that never end by themselves.
    pub stopping: Stopping,
}

/// One voter, as its services see it.
pub struct Core {
    parts: CoreParts,
    secrets: RwLock<Option<Arc<Secrets>>>,
    clock_is_compared: AtomicBool,
    clock_is_sound: AtomicBool,
    health: Health,
}

/// A command that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Log index.
    pub index: u64,
    /// What became of it.
    pub outcome: Outcome,
}

impl Core {
    /// A core whose secrets are still closed.
    pub fn new(parts: CoreParts) -> Self {
        let (clock_is_compared, clock_is_sound) = (AtomicBool::new(true), AtomicBool::new(true));
        Self {
            parts,
            secrets: RwLock::new(None),
            clock_is_compared,
            clock_is_sound,
            health: Health::default(),
        }
    }

    /// This machine.
    pub fn me(&self) -> NodeId {
        self.parts.me
    }

    /// This machine as the author of commands.
    pub fn myself(&self) -> SpiffeSubject {
        SpiffeSubject::Registry(self.parts.me)
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.parts.cluster
    }

    /// The time here.
    pub fn now(&self) -> UnixMs {
        self.parts.clock.now()
    }

    /// Ends streams that never end by themselves, when the server begins to stop.
    pub fn stopping(&self) -> &Stopping {
        &self.parts.stopping
    }

    /// The state as applied here. Hold the guard briefly, never over an await.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.parts.host.read()
    }

    /// Number of the last command that was applied here, and its changes.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.parts.host.applied()
    }

    /// What nodes said lately.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Signs as this machine. Blocks.
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.parts.signer)
    }

    /// Opens the secrets, or replaces them after a rotation.
    pub fn open(&self, secrets: Secrets) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(secrets));
    }

    /// The opened secrets.
    ///
    /// # Errors
    /// [`Reason::NotReady`] until they are.
    pub fn secrets(&self) -> Result<Arc<Secrets>, Refusal> {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
        secrets.ok_or_else(|| Refusal::new(Reason::NotReady).because("the registry's key is not open"))
    }

    /// From now on nothing is dated before [`Self::set_clock_sound`] said that the clock may be used.
    pub fn await_clock(&self) {
        self.clock_is_compared.store(false, Ordering::Relaxed);
    }

    /// Whether this voter's clock fits the others'; while it does not, nothing is issued and nothing proposed: commands carry the time,
    /// and the state's never goes back.
    pub fn set_clock_sound(&self, sound: bool) {
        self.clock_is_sound.store(sound, Ordering::Relaxed);
        self.clock_is_compared.store(true, Ordering::Relaxed);
    }

    fn check_clock(&self) -> Result<(), Refusal> {
        if !self.clock_is_compared.load(Ordering::Relaxed) {
            return Err(Refusal::new(Reason::NotReady).because("this voter's clock is not compared yet"));
        }
        if !self.clock_is_sound.load(Ordering::Relaxed) {
            return Err(
                Refusal::new(Reason::ClockSkew).because("this voter's clock differs from the others'")
            );
        }
        Ok(())
    }

    /// The secrets, to issue certificates with.
    ///
    /// # Errors
    /// [`Reason::NotReady`], [`Reason::ClockSkew`].
    pub fn issuer(&self) -> Result<Arc<Secrets>, Refusal> {
        self.check_clock()?;
        self.secrets()
    }

    /// Commits a command and waits until it is applied here too.
    ///
    /// # Errors
    /// Only when there is no result; a refusal by the state is an outcome.
    pub async fn commit(&self, by: SpiffeSubject, act: Act) -> Result<Committed, Refusal> {
        self.check_clock()?;
        let command = Command { now: self.now(), by, act };
        let bytes = command.encode().map_err(|error| Refusal::new(Reason::Malformed).because(error))?;
        let applied = self.parts.log.propose(bytes).await.map_err(log::refuse_proposal)?;
        let outcome = Outcome::decode(&applied.result)
            .map_err(|error| Refusal::new(Reason::Internal).because(error))?;
        self.parts.log.wait_applied(applied.index).await.map_err(log::refuse_wait)?;
        Ok(Committed { index: applied.index, outcome })
    }

    /// Commits a command; a refusal by the state is an error.
    ///
    /// # Errors
    /// The state's reason, or [`Reason::NoQuorum`] and the like.
    pub async fn propose(&self, by: SpiffeSubject, act: Act) -> Result<Applied, Refusal> {
        self.commit(by, act).await?.outcome.into_result().map_err(Refusal::new)
    }

    /// Makes the following reads of the state linearizable.
    ///
    /// # Errors
    /// [`Reason::NoQuorum`].
    pub async fn read_index(&self) -> Result<(), Refusal> {
        self.parts.log.read_index().await.map_err(log::refuse_read)
    }

    /// Plans a change of the map, signs and commits it; again when another change came first. Without a plan nothing is to be done.
    ///
    /// # Errors
    /// What the plan says, [`Reason::NotReady`] without the map key, [`Reason::Conflict`] when others are always faster.
    pub async fn change_map(
        &self,
        by: &SpiffeSubject,
        plan: impl Fn(&State) -> Result<Option<Planned>, Reason> + Send + Sync,
    ) -> Result<Applied, Refusal> {
        let secrets = self.secrets()?;
        for _ in 0..MAP_ATTEMPTS {
            self.read_index().await?;
            let planned = plan(&self.state());
            let Some(Planned { expected, change, map }) = planned.map_err(Refusal::new)? else {
                return Ok(Applied::Map { epoch: self.state().map_epoch(), groups: Vec::new() });
            };
            let map = sign::sign_value(&secrets.map_key, labels::SHARD_MAP, &map)
                .map_err(|error| Refusal::new(Reason::Internal).because(error))?;
            let put = Act::PutMap(PutMap { expected, change, map });
            match self.commit(by.clone(), put).await?.outcome {
                Outcome::Applied(applied) => return Ok(applied),
                Outcome::Refused(Reason::Conflict) => {}
                Outcome::Refused(reason) => return Err(Refusal::new(reason)),
            }
        }
        Err(Refusal::new(Reason::Conflict).because("the shard map changes too fast"))
    }
}
