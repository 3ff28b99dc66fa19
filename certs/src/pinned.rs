//! Voters known by key, so that a cluster which was off for longer than its leaves live starts again.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use holdfast_domain::SpkiHash;

/// Keys that are accepted as `/registry/<id>` whatever their leaf's expiry; everything else about the chain
/// must still hold. Follows the Raft membership. Clones share one set.
///
/// An expired identity is for Raft only: the request layer refuses it everywhere else, by its `not_after`.
#[derive(Debug, Clone, Default)]
pub struct PinnedPeers(Arc<RwLock<BTreeSet<SpkiHash>>>);

impl PinnedPeers {
    /// Pins nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Pins exactly these keys.
    pub fn new(keys: BTreeSet<SpkiHash>) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }

    /// Replaces the set, for connections from now on.
    pub fn replace(&self, keys: BTreeSet<SpkiHash>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Whether this key is pinned.
    pub fn contains(&self, key: &SpkiHash) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}
