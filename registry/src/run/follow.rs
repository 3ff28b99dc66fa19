//! What this process does when the replicated state changes: bans, pins, readiness, and what the next start needs.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_certs::PinnedPeers;
use holdfast_domain::{BanSubject, NodeRole, PcrApproval, SpkiHash, VoterEndpoint};
use holdfast_enrol::member::{files, remember};
use holdfast_registry_state::State;
use holdfast_sys_core::{BanList, server::Health};
use tokio::sync::watch;

use super::{
    KnownVoters, RunError,
    known::{self},
};
use crate::voter::Voter;

/// Follows the state.
pub(super) struct Follower {
    pub(super) voter: Arc<Voter>,
    pub(super) bans: BanList,
    pub(super) pinned: PinnedPeers,
    pub(super) known: KnownVoters,
    pub(super) health: Health,
    pub(super) leaf_is_valid: watch::Receiver<bool>,
}

/// What the folder already has.
#[derive(Default)]
struct Kept {
    voters: Vec<VoterEndpoint>,
    approvals: Vec<PcrApproval>,
}

impl Follower {
    /// Returns only when this machine must stop.
    pub(super) async fn run(mut self) -> RunError {
        let mut state = self.voter.core.applied();
        let mut group = self.voter.group.watch();
        let mut kept = Kept::default();
        let mut was_ready = false;
        loop {
            if let Err(stop) = self.take_over(&mut kept) {
                return stop;
            }
            let ready = self.is_ready();
            if ready != was_ready {
                tracing::info!(ready, "readiness");
                if ready {
                    self.health.ready().await
                } else {
                    self.health.not_ready().await
                }
                was_ready = ready;
            }
            // None of the senders goes away while this runs.
            tokio::select! {
                _ = state.changed() => {}
                _ = group.changed() => {}
                _ = self.leaf_is_valid.changed() => {}
            }
        }
    }

    fn take_over(&self, kept: &mut Kept) -> Result<(), RunError> {
        let Voter { core, member, .. } = &*self.voter;
        let bans = core.state().barred();
        enforce(&self.bans, bans)?;
        if core.state().is_banned(&core.myself()) {
            return Err(RunError::Banned(core.me()));
        }
        let voters = endpoints(&core.state());
        if !voters.is_empty() && voters != kept.voters {
            self.known.replace(voters.clone());
            member.folder.put(files::VOTERS, &voters)?;
            kept.voters = voters;
        }
        self.pinned.replace(self.pins());
        let approvals: Vec<_> = core.state().approvals(NodeRole::Registry).cloned().collect();
        if !approvals.is_empty() && approvals != kept.approvals {
            remember(&member.folder, &approvals)?;
            kept.approvals = approvals;
        }
        if let Err(error) = self.voter.open_secrets() {
            tracing::error!(%error, "secrets");
        }
        Ok(())
    }

    /// Keys of the members by every account: a newcomer knows them by its grant, a veteran by its log.
    fn pins(&self) -> BTreeSet<SpkiHash> {
        let status = self.voter.group.status();
        let mut pins: BTreeSet<_> = status.membership.members.values().filter_map(known::key).collect();
        pins.extend(self.known.keys());
        pins
    }

    fn is_ready(&self) -> bool {
        let status = self.voter.group.status();
        let has_leader = status.leader.is_some();
        has_leader && self.voter.core.secrets().is_ok() && *self.leaf_is_valid.borrow()
    }
}

/// Puts the bans in force, or stops the process: without the list the banned would be let in.
fn enforce(list: &BanList, bans: BTreeSet<BanSubject>) -> Result<(), RunError> {
    Ok(list.replace(bans)?)
}

fn endpoints(state: &State) -> Vec<VoterEndpoint> {
    state.voters().map(|voter| voter.endpoint.clone()).collect()
}

#[cfg(test)]
mod tests {
    use holdfast_domain::AccountId;
    use holdfast_sys_core::limits::MAX_BANS;

    use super::*;

    #[test]
    fn a_machine_that_cannot_enforce_all_bans_stops() {
        let list = BanList::new();
        let account =
            |at: usize| BanSubject::Account(AccountId::new(u128::try_from(at).unwrap().to_be_bytes()));
        enforce(&list, (0..3).map(account).collect()).unwrap();
        let stopped = enforce(&list, (0..=MAX_BANS).map(account).collect());
        assert!(matches!(stopped, Err(RunError::Bans(_))));
    }
}
