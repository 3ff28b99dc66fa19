//! Identity and trust that change while connections come and go. A handshake sees the state of its moment.

use std::sync::{Arc, PoisonError, RwLock};

use super::Identity;
use crate::{BundleError, TrustBundle};

/// The identity that new connections show. Clones share it.
#[derive(Debug, Clone)]
pub struct LiveIdentity(Arc<RwLock<Arc<Identity>>>);

impl LiveIdentity {
    /// Begins with this identity.
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(identity))))
    }

    /// Shows another identity from now on. Open connections keep the old one.
    pub fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// The identity shown now.
    pub fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The trust that new connections are checked against. Clones share it.
#[derive(Debug, Clone)]
pub struct LiveTrust(Arc<RwLock<Arc<TrustBundle>>>);

impl LiveTrust {
    /// Begins with this bundle.
    pub fn new(bundle: TrustBundle) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(bundle))))
    }

    /// Trusts another bundle from now on: of the same root and not older.
    ///
    /// # Errors
    /// [`BundleError::RootChanged`], [`BundleError::Stale`].
    pub fn replace(&self, bundle: TrustBundle) -> Result<(), BundleError> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        current.check_update(&bundle)?;
        *current = Arc::new(bundle);
        Ok(())
    }

    /// The bundle trusted now.
    pub fn current(&self) -> Arc<TrustBundle> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
