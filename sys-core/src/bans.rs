//! Who is banned, at every moment: checked by the guard per RPC, and enforced on open connections.
//!
//! Connections and their streams outlive a ban, so the list is watched and [`BanList::enforce`] closes them; what a closing race lets
//! through is met by the guard at the next call.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use holdfast_certs::{Connections, LiveIdentity, PeerIdentity, PinnedPeers};
use holdfast_domain::{BanSubject, SpiffeSubject};
use tokio::sync::watch;

use crate::{clock::Clock, limits::MAX_BANS};

/// How often connections whose certificate has expired are looked for.
const EXPIRY_SWEEP: Duration = Duration::from_secs(1);

/// The bans in force. Clones share one list.
#[derive(Clone)]
pub struct BanList(Arc<watch::Sender<Arc<BTreeSet<BanSubject>>>>);

/// More bans than a process holds: going on without them would let the banned in, so the caller stops serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bans exceed the limit of {MAX_BANS}")]
pub struct TooManyBans(usize);

impl Default for BanList {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Arc::default())))
    }
}

impl BanList {
    /// Nobody is banned yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the whole list: the replicated state sends it whole.
    ///
    /// # Errors
    /// [`TooManyBans`]; the former list stays in force.
    pub fn replace(&self, bans: BTreeSet<BanSubject>) -> Result<(), TooManyBans> {
        if bans.len() > MAX_BANS {
            return Err(TooManyBans(bans.len()));
        }
        self.0.send_if_modified(|current| {
            let changed = **current != bans;
            if changed {
                *current = Arc::new(bans);
            }
            changed
        });
        Ok(())
    }

    /// Whether this identity is banned, by its own id or by its account.
    pub fn bans(&self, identity: &PeerIdentity) -> bool {
        let list = Arc::clone(&self.0.borrow());
        if list.is_empty() {
            return false;
        }
        let own = match &identity.spiffe.subject {
            SpiffeSubject::Registry(id) | SpiffeSubject::Node(id) => Some(BanSubject::Node(*id)),
            SpiffeSubject::Client(id) => Some(BanSubject::Client(*id)),
            SpiffeSubject::Operator(name) => Some(BanSubject::Operator(name.clone())),
            SpiffeSubject::Module { .. } => None,
        };
        let account = identity.home.map(|home| BanSubject::Account(home.account));
        own.into_iter().chain(account).any(|subject| list.contains(&subject))
    }

    /// Told of every change from now on.
    pub fn watch(&self) -> watch::Receiver<Arc<BTreeSet<BanSubject>>> {
        self.0.subscribe()
    }

    /// Closes connections of the banned as soon as they are, those whose certificate expires while they are open, and all of them when
    /// the server's own is over: it may not have heard of bans since. Runs until it is dropped.
    pub async fn enforce(
        &self,
        connections: Connections,
        pinned: PinnedPeers,
        own: LiveIdentity,
        clock: Clock,
    ) {
        let mut changes = self.watch();
        let mut sweep = tokio::time::interval(EXPIRY_SWEEP);
        loop {
            let closed = connections.close_where(|identity| self.bans(identity));
            if closed > 0 {
                tracing::info!(target: "audit", decision = "closed", reason = "banned", connections = closed);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = sweep.tick() => {
                    let now = clock.now();
                    let over = own.current().not_after() <= now;
                    let expired = |identity: &PeerIdentity| {
                        (over || identity.not_after <= now) && !pinned.contains(&identity.spki_hash)
                    };
                    connections.close_where(expired);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{AccountId, ClientId, Home, NodeId};

    use super::*;
    use crate::testing::identity;

    #[test]
    fn a_client_is_banned_by_key_or_by_account_and_a_machine_in_both_roles() {
        let bans = BanList::new();
        let (account, node) = (AccountId::new([1; 16]), NodeId::new([2; 16]));
        let client =
            identity(SpiffeSubject::Client(ClientId::new([3; 16])), Some(Home { account, quota_bytes: 0 }));
        let other = identity(SpiffeSubject::Client(ClientId::new([4; 16])), None);
        bans.replace([BanSubject::Account(account), BanSubject::Node(node)].into()).unwrap();
        assert!(bans.bans(&client));
        assert!(!bans.bans(&other));
        assert!(bans.bans(&identity(SpiffeSubject::Node(node), None)));
        assert!(bans.bans(&identity(SpiffeSubject::Registry(node), None)));
        bans.replace([BanSubject::Client(ClientId::new([4; 16]))].into()).unwrap();
        assert!(!bans.bans(&client));
        assert!(bans.bans(&other));
    }

    #[test]
    fn a_list_past_its_limit_leaves_the_former_in_force() {
        let bans = BanList::new();
        let client = identity(SpiffeSubject::Client(ClientId::new([3; 16])), None);
        bans.replace([BanSubject::Client(ClientId::new([3; 16]))].into()).unwrap();
        let many = (0..=u32::try_from(MAX_BANS).unwrap()).map(|n| {
            let mut id = [9; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            BanSubject::Client(ClientId::new(id))
        });
        assert_eq!(bans.replace(many.collect()), Err(TooManyBans(MAX_BANS + 1)));
        assert!(bans.bans(&client));
    }
}
