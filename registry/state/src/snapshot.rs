//! The whole state as bytes, and back. A state that is restored has passed the same invariants that `apply` keeps.

use std::collections::BTreeSet;

use holdfast_domain::{
    NodeId, Sha256Hash,
    codec::{self, CodecError},
};

use crate::{limits, state::State};

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not an encoded state.
    #[error("not a registry state")]
    Codec(#[from] CodecError),
    /// A state that `apply` never makes.
    #[error("registry state breaks an invariant: {0}")]
    Broken(&'static str),
}

impl State {
    /// The whole state.
    ///
    /// # Errors
    /// Only when a value cannot be encoded.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        Ok(codec::encode(self)?)
    }

    /// Reads a state.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let state: Self = codec::decode(bytes, limits::MAX_STATE)?;
        state.check()?;
        Ok(state)
    }

    /// SHA-256 of the snapshot: equal on voters that applied the same commands.
    ///
    /// # Errors
    /// Only when a value cannot be encoded.
    pub fn hash(&self) -> Result<Sha256Hash, SnapshotError> {
        Ok(Sha256Hash::of(&self.snapshot()?))
    }

    /// The invariants that hold after every command.
    ///
    /// # Errors
    /// [`SnapshotError::Broken`] names the first that does not.
    pub fn check(&self) -> Result<(), SnapshotError> {
        let holds = |fact, what| if fact { Ok(()) } else { Err(SnapshotError::Broken(what)) };
        holds(self.founded.is_some() || self.members.is_empty(), "members without a genesis record")?;
        holds(self.keeps_bonds(), "a machine's id is not its EK's")?;
        holds(self.keeps_map(), "the map is not the signed one or claims a slot twice")?;
        holds(self.replica_ids_are_fresh(), "a replica id was given out twice")?;
        holds(
            self.clients.values().all(|client| self.accounts.contains_key(&client.account)),
            "a client without its account",
        )?;
        holds(self.audit.is_whole(), "the audit chain is broken")
    }

    fn keeps_bonds(&self) -> bool {
        let Some(genesis) = self.genesis() else { return true };
        let eks: BTreeSet<_> = self.members.values().map(|member| member.ek).collect();
        let bound = |(node, member): (&NodeId, &crate::Member)| {
            NodeId::derive(genesis.cluster, &member.ek_spki) == *node
                && holdfast_domain::EkHash::of_spki(&member.ek_spki) == member.ek
        };
        eks.len() == self.members.len() && self.members.iter().all(bound)
    }

    fn keeps_map(&self) -> bool {
        self.map.as_ref().is_none_or(|(signed, map)| {
            let decoded = codec::decode(&signed.bytes, holdfast_domain::map::MAX_MAP);
            decoded.as_ref() == Ok(map) && map.check().is_ok() && map.lineage == self.lineage
        })
    }

    fn replica_ids_are_fresh(&self) -> bool {
        let mapped = self.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
        let ids: Vec<_> = mapped
            .map(|replica| replica.replica.0)
            .chain(self.dropping.keys().map(|(_, replica)| replica.0))
            .chain(self.members.values().filter_map(|member| member.replica.map(|replica| replica.0)))
            .collect();
        let distinct: BTreeSet<_> = ids.iter().collect();
        distinct.len() == ids.len() && ids.iter().all(|id| *id < self.next_replica)
    }
}
