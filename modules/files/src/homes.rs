//! What requests of one home share in this process: their turn to change it, and how many transfers they may have.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use holdfast_domain::{HomeId, Reason};
use holdfast_sys_core::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{MAX_TRANSFERS, MAX_TRANSFERS_PER_HOME};

/// All homes with a request under way.
pub(crate) struct Homes {
    active: Mutex<BTreeMap<HomeId, Weak<Home>>>,
    transfers: Arc<Semaphore>,
}

/// One of them.
pub(crate) struct Home {
    /// Changes take turns: the usage record would make all but one of them try again anyway.
    pub(crate) turn: tokio::sync::Mutex<()>,
    transfers: Arc<Semaphore>,
}

/// The right to move content, while it lives.
pub(crate) struct Transfer {
    _home: Arc<Home>,
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Homes {
    pub(crate) fn new() -> Self {
        Self { active: Mutex::default(), transfers: Arc::new(Semaphore::new(MAX_TRANSFERS)) }
    }

    pub(crate) fn of(&self, id: HomeId) -> Arc<Home> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = active.get(&id).and_then(Weak::upgrade) {
            return home;
        }
        // As many entries as requests under way, at most: others go when somebody comes.
        active.retain(|_, home| home.strong_count() > 0);
        let transfers = Arc::new(Semaphore::new(MAX_TRANSFERS_PER_HOME));
        let home = Arc::new(Home { turn: tokio::sync::Mutex::default(), transfers });
        active.insert(id, Arc::downgrade(&home));
        home
    }

    /// # Errors
    /// `Overloaded` when the home or the process has as many as it may.
    pub(crate) fn transfer(&self, id: HomeId) -> Result<Transfer, Refusal> {
        let home = self.of(id);
        let own = Arc::clone(&home.transfers).try_acquire_owned();
        let all = Arc::clone(&self.transfers).try_acquire_owned();
        match (own, all) {
            (Ok(own), Ok(all)) => Ok(Transfer { _home: home, _own: own, _all: all }),
            _ => Err(Reason::Overloaded.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_home_cannot_take_all_transfers_and_gives_its_own_back() {
        let homes = Homes::new();
        let home = |id| HomeId::Account(holdfast_domain::AccountId::new([id; 16]));
        let (one, other) = (home(1), home(2));
        let held: Vec<_> = (0..MAX_TRANSFERS_PER_HOME).map(|_| homes.transfer(one).unwrap()).collect();
        assert!(homes.transfer(one).is_err());
        assert!(homes.transfer(other).is_ok());
        drop(held);
        assert!(homes.transfer(one).is_ok());
        let _ = homes.of(other);
        assert_eq!(homes.active.lock().unwrap().len(), 1);
    }
}
