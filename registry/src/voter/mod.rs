//! What a member of the registry does on its own, besides answering.
//!
//! - [`lead`]: whoever leads brings the group's membership in line with the replicated state
//! - [`place`]: whoever leads brings replicas where they should be, and commits what nodes' silence and words mean
//! - [`clock`]: voters compare their clocks; one that is off issues nothing
//! - [`identity`]: a voter renews its own leaves

pub(crate) mod clock;
pub(crate) mod identity;
pub(crate) mod lead;
pub(crate) mod place;
mod step;

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_consensus::Group;
use holdfast_domain::Sha256Hash;
use holdfast_enrol::member::Member;
use holdfast_keys::Crk;

use crate::{
    core::Core,
    secrets::{self, SecretsError},
};

/// One member of the registry: its machine, its replica of the state, and the key that opens the state's secrets.
pub(crate) struct Voter {
    pub(crate) member: Member,
    pub(crate) core: Arc<Core>,
    pub(crate) group: Group,
    crk: Crk,
    /// Which sealed secrets are open.
    open: Mutex<Option<Sha256Hash>>,
}

impl Voter {
    pub(crate) const fn new(member: Member, core: Arc<Core>, group: Group, crk: Crk) -> Self {
        Self { member, core, group, crk, open: Mutex::new(None) }
    }

    /// Opens the state's secrets, if there are others than those that are open.
    ///
    /// # Errors
    /// When they do not open with this machine's key.
    pub(crate) fn open_secrets(&self) -> Result<(), SecretsError> {
        let (generation, sealed) = {
            let state = self.core.state();
            let (generation, sealed) = state.secrets();
            (generation, sealed.to_vec())
        };
        let hash = Sha256Hash::of(&sealed);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if sealed.is_empty() || *open == Some(hash) {
            return Ok(());
        }
        let crk = Crk::from_bytes(*self.crk.expose_for_wrapping());
        self.core.open(secrets::open(crk, generation, self.core.cluster().id(), &sealed)?);
        *open = Some(hash);
        Ok(())
    }
}
