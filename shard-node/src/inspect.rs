//! Offline reader of a copied data folder, for searching it: which keys protect what is in there.
//!
//! Needs the group's DMK, which only the TPMs of its replicas and the officers' recovery key open; serves no request.

use holdfast_domain::{KeyGeneration, Slot};
use holdfast_keys::{PartitionKeyring, SecretKey, SlotKeyring};
use holdfast_store::{
    Engine, KeyRange, ScanLimit,
    records::{PartitionToken, TOKEN_LEN},
};
use std::sync::Arc;
use zeroize::Zeroizing;

use crate::machine::{GroupKeys, GroupState, PartitionKeyringRow, Row as _, StateError, Table, slot_of};

/// Every key of a group that its DMK opens.
pub struct GroupSecrets {
    /// SK, LK and DK of each slot.
    pub slots: Vec<(Slot, SlotKeyring)>,
    /// PDK and NK of each partition, every generation.
    pub partitions: Vec<(Slot, PartitionToken, PartitionKeyring)>,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretKind {
    /// SK.
    Slot,
    /// LK.
    Locator,
    /// DK.
    Digest,
    /// PDK of a generation.
    Data(KeyGeneration),
    /// NK of a generation.
    Names(KeyGeneration),
}

/// Reads all keyrings of a group from an engine that nobody writes to.
///
/// # Errors
/// When a row does not read or open.
pub fn group_secrets(engine: Arc<dyn Engine>, keys: GroupKeys) -> Result<GroupSecrets, StateError> {
    let state = GroupState::open(engine, keys)?;
    let mut secrets = GroupSecrets { slots: Vec::new(), partitions: Vec::new() };
    each(&state, Table::SlotKeyrings, |row, value| {
        let slot = slot_of(row).ok_or(StateError::Key)?;
        let value = crate::machine::SlotKeyringRow::decode(value)?;
        secrets.slots.push((slot, state.keys().open_slot(slot, &value)?));
        Ok(())
    })?;
    let GroupSecrets { slots, partitions } = &mut secrets;
    each(&state, Table::PartitionKeyrings, |row, value| {
        let slot = slot_of(row).ok_or(StateError::Key)?;
        let token: [u8; TOKEN_LEN] =
            row.get(2..).and_then(|token| token.try_into().ok()).ok_or(StateError::Key)?;
        let (_, keyring) = slots.iter().find(|(of, _)| *of == slot).ok_or(StateError::Key)?;
        let row = PartitionKeyringRow::decode(value)?;
        let partition = PartitionToken(token);
        let opened = state.keys().open_partition(&keyring.slot, slot, partition, &row.sealed.0)?;
        partitions.push((slot, partition, opened));
        Ok(())
    })?;
    Ok(secrets)
}

impl GroupSecrets {
    /// The bytes of every key, with what it is for.
    pub fn expose_all(&self) -> Vec<(SecretKind, Zeroizing<[u8; 32]>)> {
        fn bytes(key: &impl SecretKey) -> Zeroizing<[u8; 32]> {
            Zeroizing::new(*key.expose_for_wrapping())
        }
        let mut all = Vec::new();
        for (_, SlotKeyring { slot, locator, digest }) in &self.slots {
            all.push((SecretKind::Slot, bytes(slot)));
            all.push((SecretKind::Locator, bytes(locator)));
            all.push((SecretKind::Digest, bytes(digest)));
        }
        for (_, _, PartitionKeyring { data, names }) in &self.partitions {
            all.extend(data.iter().map(|(generation, key)| (SecretKind::Data(generation), bytes(key))));
            all.extend(names.iter().map(|(generation, key)| (SecretKind::Names(generation), bytes(key))));
        }
        all
    }
}

fn each(
    state: &GroupState,
    table: Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut rest = Some(KeyRange::all());
    while let Some(range) = rest {
        let page = state.read().scan(table, &range, ScanLimit::MAX)?;
        page.rows.iter().try_for_each(|row| visit(&row.key, &row.value))?;
        rest = page.next.map(|next| range.starting_at(next));
    }
    Ok(())
}
