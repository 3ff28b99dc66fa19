//! What requests of one home share in this process: their turn to change it, and how many transfers they may have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use holdfast_domain::{AccountId, HomeId, Reason};
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
    _homes: Vec<Arc<Home>>,
    _permits: Vec<OwnedSemaphorePermit>,
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

    /// Counts for the home and for whoever asks, as one account may have a part in any number of homes.
    ///
    /// # Errors
    /// `Overloaded` when the home, the account or the process has as many as it may.
    pub(crate) fn transfer(&self, home: HomeId, account: AccountId) -> Result<Transfer, Refusal> {
        let homes: BTreeSet<_> = [home, account.into()].into();
        let homes: Vec<_> = homes.into_iter().map(|id| self.of(id)).collect();
        let bounds = homes.iter().map(|home| &home.transfers).chain([&self.transfers]);
        let permits = bounds.map(|bound| Arc::clone(bound).try_acquire_owned()).collect::<Result<_, _>>();
        let permits = permits.map_err(|_| Refusal::new(Reason::Overloaded))?;
        Ok(Transfer { _homes: homes, _permits: permits })
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::OrgId;

    use super::*;

    fn account(id: u8) -> AccountId {
        AccountId::new([id; 16])
    }

    #[test]
    fn one_home_cannot_take_all_transfers_and_gives_its_own_back() {
        let homes = Homes::new();
        let transfer = |id| homes.transfer(account(id).into(), account(id));
        let held: Vec<_> = (0..MAX_TRANSFERS_PER_HOME).map(|_| transfer(1).unwrap()).collect();
        assert!(transfer(1).is_err());
        assert!(transfer(2).is_ok());
        drop(held);
        assert!(transfer(1).is_ok());
        let _ = homes.of(account(2).into());
        assert_eq!(homes.active.lock().unwrap().len(), 1);
    }

    #[test]
    fn one_account_cannot_take_all_transfers_by_founding_homes_nor_a_member_those_of_others() {
        let homes = Homes::new();
        let organisation = |id| HomeId::Organisation(OrgId::new([id; 16]));
        let in_many = |id| homes.transfer(organisation(id), account(1));
        let held: Vec<_> =
            (0..MAX_TRANSFERS_PER_HOME).map(|id| in_many(u8::try_from(id).unwrap()).unwrap()).collect();
        assert!(in_many(99).is_err());
        assert!(homes.transfer(organisation(99), account(2)).is_ok());
        drop(held);
        assert!(in_many(99).is_ok());
    }
}
