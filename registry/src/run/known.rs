//! Members of the registry as far as this machine was told: by its grant, by other members, by the replicated state.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use holdfast_consensus::{Member, PeerDirectory, Pin};
use holdfast_domain::{GroupId, ReplicaId, SpkiHash, VoterEndpoint};

/// Lets a newcomer, whose own membership is empty, take frames from those who are members. Clones share one list.
#[derive(Clone)]
pub(crate) struct KnownVoters(Arc<RwLock<BTreeMap<ReplicaId, Member>>>);

impl KnownVoters {
    pub(crate) fn new(voters: Vec<VoterEndpoint>) -> Self {
        let known = Self(Arc::default());
        known.replace(voters);
        known
    }

    pub(crate) fn replace(&self, voters: Vec<VoterEndpoint>) {
        let member = |voter: VoterEndpoint| {
            let VoterEndpoint { node, replica, address, spki } = voter;
            (replica, Member { node, address, pin: Pin::Key(spki) })
        };
        let members = voters.into_iter().map(member).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// The keys that they authenticate Raft with.
    pub(crate) fn keys(&self) -> Vec<SpkiHash> {
        let members = self.0.read().unwrap_or_else(PoisonError::into_inner);
        members.values().filter_map(key).collect()
    }
}

pub(crate) const fn key(member: &Member) -> Option<SpkiHash> {
    match member.pin {
        Pin::Key(spki) => Some(spki),
        Pin::Certificate => None,
    }
}

impl PeerDirectory for KnownVoters {
    fn member(&self, group: GroupId, replica: ReplicaId) -> Option<Member> {
        let members = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (group == GroupId::REGISTRY).then(|| members.get(&replica).cloned()).flatten()
    }
}
