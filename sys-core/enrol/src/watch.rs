//! What the registry tells its members as it changes: map, bans, approvals, voters, drops and rotations.

mod event;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use holdfast_domain::{
    AccountId, BanSubject, ClusterId, GroupId, KeyGeneration, PcrApproval, ReplicaId, Role, ShardMap, Signed,
    VoterEndpoint,
};
use holdfast_keys::P256Public;
use holdfast_proto::registry::v1::{WatchRequest, directory_client::DirectoryClient};
use tokio::sync::watch;

use crate::registries::Registries;

pub use event::EventError;
pub(crate) use event::voter;

/// Waiting time after a stream ended.
const BACKOFF: Duration = Duration::from_millis(200);
/// A member says something each second; one that is silent is dead, or its connection is.
const SILENCE: Duration = Duration::from_secs(3);
/// Longest waiting time, when no member answers.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// A map whose signature was checked, with the bytes that were signed.
#[derive(Debug, Clone)]
pub struct VerifiedMap {
    /// To hand on to clients.
    pub signed: Signed<ShardMap>,
    /// To route by.
    pub map: ShardMap,
}

/// Roles that hold everywhere.
pub type GlobalRoles = BTreeMap<AccountId, Role>;

/// The registry's state as far as a member needs it, at one log index.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Log index.
    pub index: u64,
    /// The shard map, once there is one.
    pub map: Option<Arc<VerifiedMap>>,
    /// Who is banned.
    pub bans: BTreeSet<BanSubject>,
    /// Approved boot states.
    pub approvals: Vec<PcrApproval>,
    /// The registry's members.
    pub voters: Vec<VoterEndpoint>,
    /// Replicas here that the registry wants deleted.
    pub drops: BTreeSet<(GroupId, ReplicaId)>,
    /// Groups here whose key is to be replaced by a generation above this one.
    pub rotations: BTreeMap<GroupId, KeyGeneration>,
    /// Who holds a role everywhere.
    pub global_roles: Arc<GlobalRoles>,
}

impl View {
    /// Whether both are one view: the registry repeats itself to show that it is there.
    fn is(&self, other: &Self) -> bool {
        let Self { index, map, bans, approvals, voters, drops, rotations, global_roles } = self;
        let same_map = match (map, &other.map) {
            (None, None) => true,
            (Some(map), Some(other)) => Arc::ptr_eq(map, other) || map.signed == other.signed,
            _ => false,
        };
        same_map
            && *index == other.index
            && *bans == other.bans
            && *approvals == other.approvals
            && *voters == other.voters
            && *drops == other.drops
            && *rotations == other.rotations
            && *global_roles == other.global_roles
    }
}

/// A running watch. Ends when it is dropped.
pub struct Watcher {
    view: watch::Receiver<Arc<View>>,
    connected: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    /// Follows the registry. `initial` is what was known before, from the data folder.
    pub fn start(registries: Registries, cluster: ClusterId, map_key: P256Public, initial: View) -> Self {
        let (view_sender, view) = watch::channel(Arc::new(initial));
        let (connected_sender, connected) = watch::channel(false);
        let follow = Follow { registries, cluster, map_key, view: view_sender, connected: connected_sender };
        Self { view, connected, task: tokio::spawn(follow.run()) }
    }

    /// The newest view, and its changes.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Whether a member is connected now.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Follow {
    registries: Registries,
    cluster: ClusterId,
    map_key: P256Public,
    view: watch::Sender<Arc<View>>,
    connected: watch::Sender<bool>,
}

impl Follow {
    async fn run(self) {
        let mut backoff = BACKOFF;
        loop {
            for address in self.registries.addresses() {
                let heard = self.follow(&address).await;
                self.connected.send_replace(false);
                if heard {
                    backoff = BACKOFF;
                }
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Follows one member until its stream ends; whether it said anything.
    async fn follow(&self, address: &str) -> bool {
        let Ok(channel) = self.registries.channel(address) else { return false };
        let mut client = DirectoryClient::new(channel).max_decoding_message_size(event::MAX_EVENT);
        let opened = tokio::time::timeout(MAX_BACKOFF, client.watch(WatchRequest {})).await;
        let mut stream = match opened {
            Ok(Ok(stream)) => stream.into_inner(),
            Ok(Err(status)) => {
                tracing::debug!(address, %status, "watch refused");
                return false;
            }
            Err(_) => return false,
        };
        let mut heard = false;
        loop {
            let event = match tokio::time::timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None) | Err(_)) => return heard,
                Err(_) => {
                    tracing::info!(address, "member is silent; trying the next");
                    return heard;
                }
            };
            // Cloned out: a borrow that lived through the arms would lock out their own update.
            let known = Arc::clone(&self.view.borrow());
            match event::read(event, self.cluster, &self.map_key, &known) {
                Ok(view) => {
                    heard = true;
                    self.connected.send_if_modified(|connected| !std::mem::replace(connected, true));
                    self.registries.learn(&view.voters);
                    if !view.is(&known) {
                        self.view.send_replace(Arc::new(view));
                    }
                }
                Err(EventError::Older) => tracing::debug!(address, "member is behind; its view is not taken"),
                Err(error) => {
                    tracing::warn!(address, error = %error, "view refused");
                    return heard;
                }
            }
        }
    }
}
