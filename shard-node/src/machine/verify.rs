//! Comparing each slot's records with its digest: finds a record that was swapped for an older copy of itself, or removed.

use std::collections::BTreeMap;

use holdfast_domain::Slot;
use holdfast_store::{
    ScanLimit, View,
    records::{RecordError, RecordKey, SlotDigest, StoredRecord},
};

use super::{
    GroupState, StateError, Table, layout,
    rows::{Row as _, SlotRow, SlotStatus},
    state::OpenSlot,
};

impl GroupState {
    /// Slots whose records are not those that their digest stands for; none, unless somebody changed the files. Blocks, reads
    /// every record, and sees one moment.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn verify_digests(&self) -> Result<Vec<Slot>, StateError> {
        let reader = self.read();
        let prefix = reader.prefix();
        let view = self.engine().view(prefix.range())?;
        drop(reader);
        let mut expected = BTreeMap::new();
        each(&*view, prefix.rows(Table::Slots, &[]), |row, value| {
            let slot = layout::slot_of(&row).ok_or(StateError::Key)?;
            let row = SlotRow::decode(&value)?;
            // Rows of slots that are gone are on their way out.
            if row.status != SlotStatus::Gone {
                expected.insert(slot, SlotDigest::from_bytes(row.digest));
            }
            Ok(())
        })?;
        let mut keys = BTreeMap::new();
        each(&*view, prefix.rows(Table::SlotKeyrings, &[]), |row, value| {
            let slot = layout::slot_of(&row).ok_or(StateError::Key)?;
            keys.insert(slot, self.open_slot(slot, &value)?);
            Ok(())
        })?;
        let mut found: BTreeMap<Slot, SlotDigest> = BTreeMap::new();
        each(&*view, prefix.rows(Table::Records, &[]), |row, value| {
            let key = RecordKey::parse(row).map_err(RecordError::from)?;
            let slot = key.scope().slot;
            let Some(open) = keys.get(&slot) else { return Ok(()) };
            add(found.entry(slot).or_default(), open, &key, value)
        })?;
        // A slot without a keyring has no records, and the digest of none is zero.
        let differs =
            |(slot, digest): &(&Slot, &SlotDigest)| found.get(slot).copied().unwrap_or_default() != **digest;
        Ok(expected.iter().filter(differs).map(|(slot, _)| *slot).collect())
    }
}

fn add(
    digest: &mut SlotDigest,
    open: &OpenSlot,
    key: &RecordKey,
    value: bytes::Bytes,
) -> Result<(), StateError> {
    let record = StoredRecord::parse(value).map_err(RecordError::from)?;
    digest.add(&open.keyring.digest, key, &record);
    Ok(())
}

fn each(
    view: &dyn View,
    range: holdfast_store::KeyRange,
    mut visit: impl FnMut(bytes::Bytes, bytes::Bytes) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut rest = Some(range);
    while let Some(range) = rest {
        let page = view.scan(&range, ScanLimit::MAX)?;
        for row in page.rows {
            visit(layout::row(&row.key), row.value)?;
        }
        rest = page.next.map(|next| range.starting_at(next));
    }
    Ok(())
}
