//! The right to open a home.

use holdfast_domain::{ClientId, HomeId};

use crate::{caller::Caller, errors::Refusal};

/// Who opens which home. Everybody may open his own; another's is opened by the gate only, after the policies had their say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAccess {
    client: ClientId,
    home: HomeId,
    quota_bytes: u64,
}

impl HomeAccess {
    /// The client of callers without an identity, in what is bound to clients. Nobody's: keys have random ids.
    pub(super) const NOBODY: ClientId = ClientId::new([0; ClientId::LEN]);

    /// A caller's access to his own home.
    ///
    /// # Errors
    /// `NotPermitted` for callers that have none.
    pub fn own(caller: &Caller) -> Result<Self, Refusal> {
        let (client, home) = caller.client()?;
        Ok(Self { client, home: home.account.into(), quota_bytes: home.quota_bytes })
    }

    /// Access to any home: whoever calls this has asked the policies.
    pub(super) const fn granted(client: ClientId, home: HomeId, quota_bytes: u64) -> Self {
        Self { client, home, quota_bytes }
    }

    /// Access to what says who stands where in a home, for a [`StandingSource`](super::StandingSource) to read it; nobody's request comes
    /// this far.
    pub const fn of_standings(home: HomeId) -> Self {
        Self { client: Self::NOBODY, home, quota_bytes: 0 }
    }

    /// The client key that asks; cursors are bound to it.
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// The home.
    pub const fn home(&self) -> HomeId {
        self.home
    }

    /// Bytes that the home may store.
    pub const fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }
}
