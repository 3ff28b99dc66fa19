//! How callers stand to homes.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_authz::Scope;
use holdfast_domain::{AccountId, Check, Home, HomeId, Standing};

use crate::{
    caller::Caller,
    errors::Refusal,
    module::{Partition, RouteInfo},
    query::{Binding, Entity, Table},
};

/// An account's standing in a home, and what the home may hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HomeStanding {
    /// The standing.
    pub standing: Standing,
    /// Bytes that the home may store.
    pub quota_bytes: u64,
}

/// Knows who stands where. Asked in each call, so that a role that was taken is gone with the next.
#[async_trait]
pub trait StandingSource: Send + Sync {
    /// How an account stands to a home that is not its own; a stranger's is empty, and so is that of a caller without an account.
    ///
    /// # Errors
    /// `StaleMap`, `WrongGroup`, `NotReady`, `NoQuorum`: the home is elsewhere, or nobody can say now.
    async fn standing(
        &self,
        account: Option<AccountId>,
        home: HomeId,
        route: RouteInfo,
    ) -> Result<HomeStanding, Refusal>;
}

/// Everybody is the owner of his own home and a stranger everywhere else.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnHomes;

#[async_trait]
impl StandingSource for OwnHomes {
    async fn standing(&self, _: Option<AccountId>, _: HomeId, _: RouteInfo) -> Result<HomeStanding, Refusal> {
        Ok(HomeStanding::default())
    }
}

/// All rows of a table of a home, for a [`StandingSource`] that reads roles from them.
pub fn standing_table<E: Entity>(partition: Arc<dyn Partition>, module: &str) -> Table<E> {
    let check = Check { action: "stand".to_owned(), entity: E::schema().name.clone(), unfiltered: None };
    Binding::new(partition, Caller::Anonymous, module, check).table(Scope::Always)
}

/// The standing of the caller whose certificate names `own`, or of one without.
pub(super) async fn standing_in(
    source: &dyn StandingSource,
    own: Option<&Home>,
    home: HomeId,
    route: RouteInfo,
) -> Result<HomeStanding, Refusal> {
    match own {
        Some(own) if home == own.account.into() => {
            let standing = Standing { owner: true, ..Standing::default() };
            Ok(HomeStanding { standing, quota_bytes: own.quota_bytes })
        }
        // Whatever the caller wants to read: a role that was taken is gone.
        _ => source.standing(own.map(|own| own.account), home, route.newest()).await,
    }
}
