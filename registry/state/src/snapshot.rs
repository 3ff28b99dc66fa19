//! The whole state as bytes, and back. A state that is restored has passed the same invariants that `apply` keeps.

use std::collections::BTreeSet;

use holdfast_domain::{
    AccountId, KeySubject, NodeId, Sha256Hash,
    codec::{self, CodecError},
};

use crate::{
    limits,
    people::{Account, AccountState, People},
    state::State,
};

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
        let mut state: Self = codec::decode(bytes, limits::MAX_STATE)?;
        state.index_devices();
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
        let map = self.map.as_ref().map(|(_, map)| map);
        self.shards.check(map).map_err(SnapshotError::Broken)?;
        holds(self.keys_have_groups(), "a key of a group that the map has no more")?;
        holds(
            self.clients.values().all(|client| self.accounts.contains_key(&client.account)),
            "a client without its account",
        )?;
        self.check_people()?;
        holds(self.audit.is_whole(), "the audit chain is broken")
    }

    fn check_people(&self) -> Result<(), SnapshotError> {
        let holds = |fact, what| if fact { Ok(()) } else { Err(SnapshotError::Broken(what)) };
        let People { accounts, roles, barred, expiries, revoked, tokens } = &self.people;
        let known = |account: &AccountId| self.accounts.contains_key(account);
        holds(
            accounts.keys().chain(roles.keys()).chain(barred.keys()).all(known),
            "rights without an account",
        )?;
        holds(
            !accounts.values().any(|row| *row == Account::default()),
            "an account's row that says nothing",
        )?;
        holds(expiries.keys().all(|client| self.clients.contains_key(client)), "an end of no client")?;
        holds(
            !revoked.keys().any(|client| self.clients.contains_key(client)),
            "a revoked client that is there",
        )?;
        let mut deleted = accounts.iter().filter(|(_, row)| row.state == AccountState::Deleted);
        let bare = |(account, row): (&AccountId, &Account)| {
            let nothing = Account { state: AccountState::Deleted, ..Account::default() };
            !self.devices.contains_key(account) && !roles.contains_key(account) && *row == nothing
        };
        holds(deleted.all(bare), "a deleted account that has something")?;
        let bounded = roles.len() <= limits::MAX_GLOBAL_ROLES
            && barred.len() <= limits::MAX_BARRED
            && revoked.len() <= limits::MAX_REVOKED.saturating_add(limits::MAX_CHURN_AN_ACCOUNT)
            && tokens.len() <= limits::MAX_SETUP_TOKENS;
        holds(bounded, "more rights than there may be")
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

    fn keys_have_groups(&self) -> bool {
        self.wraps.keys().all(|(subject, _, _)| match subject {
            KeySubject::Crk => true,
            KeySubject::Dmk(group) => self.map.as_ref().is_some_and(|(_, map)| map.group(*group).is_some()),
        })
    }

    fn replica_ids_are_fresh(&self) -> bool {
        let mapped = self.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
        let ids: Vec<_> = mapped
            .map(|replica| replica.replica.0)
            .chain(self.shards.dropping.keys().map(|(_, replica)| replica.0))
            .chain(self.members.values().filter_map(|member| member.replica.map(|replica| replica.0)))
            .collect();
        let distinct: BTreeSet<_> = ids.iter().collect();
        distinct.len() == ids.len() && ids.iter().all(|id| *id < self.next_replica)
    }
}
