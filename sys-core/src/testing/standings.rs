//! Roles that a test gives and takes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use holdfast_domain::{AccountId, HomeId, Standing};

use crate::{
    errors::Refusal,
    gate::{HomeStanding, StandingSource},
    module::RouteInfo,
};

/// Bytes that each home may store.
const QUOTA_BYTES: u64 = 1 << 30;

/// Who stands where. Whoever was given nothing is a stranger everywhere but at home.
#[derive(Debug, Default)]
pub struct Standings(Mutex<BTreeMap<(AccountId, HomeId), Standing>>);

impl Standings {
    /// Strangers only.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// From now on an account stands like this to a home.
    pub fn stand(&self, account: AccountId, home: HomeId, standing: Standing) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((account, home), standing);
    }
}

#[async_trait]
impl StandingSource for Standings {
    async fn standing(
        &self,
        account: Option<AccountId>,
        home: HomeId,
        _: RouteInfo,
    ) -> Result<HomeStanding, Refusal> {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let standing =
            account.and_then(|account| standings.get(&(account, home))).cloned().unwrap_or_default();
        Ok(HomeStanding { standing, quota_bytes: QUOTA_BYTES })
    }
}
