//! The records of a batch: parsed, compared, written and counted; never opened.

use holdfast_keys::DigestKey;
use holdfast_store::records::{RecordKey, RecordVersion, StoredRecord};

use super::{
    super::{
        Batch, Op, Outcome, Pre, StateError, Table, layout,
        rows::{PartitionKeyringRow, SlotRow},
    },
    Applying, Refused, refuse,
};
use holdfast_store::records::SlotDigest;

/// What a batch does to records, checked to lie within its own slot and partition.
pub(super) struct Changes(Vec<Change>);

struct Change {
    key: RecordKey,
    /// `None` deletes.
    record: Option<StoredRecord>,
}

impl Changes {
    pub(super) fn parse(batch: &Batch) -> Result<Self, Refused> {
        let parsed = batch.ops.iter().filter_map(|op| match op {
            Op::Put { key, value } => Some((key, Some(value))),
            Op::Delete { key } => Some((key, None)),
            _ => None,
        });
        let mut changes = Vec::new();
        for (key, value) in parsed {
            let key = own_key(batch, key.0.clone())?;
            let record = value.map(|value| StoredRecord::parse(value.0.clone())).transpose();
            let Ok(record) = record else { return refuse(Outcome::Malformed) };
            changes.push(Change { key, record });
        }
        Ok(Self(changes))
    }

    fn records(&self) -> impl Iterator<Item = &StoredRecord> {
        self.0.iter().filter_map(|change| change.record.as_ref())
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = RecordVersion> {
        self.records().map(StoredRecord::version)
    }
}

/// A key of the batch's own slot and partition.
fn own_key(batch: &Batch, key: bytes::Bytes) -> Result<RecordKey, Refused> {
    match RecordKey::parse(key) {
        Ok(key) if key.scope().slot == batch.slot && key.scope().partition == batch.partition() => Ok(key),
        _ => refuse(Outcome::Malformed),
    }
}

impl Applying<'_> {
    pub(super) fn check_generations(&self, batch: &Batch, changes: &Changes) -> Result<(), Refused> {
        let Some(oldest) = changes.records().map(StoredRecord::generation).min() else { return Ok(()) };
        let key = layout::partition(batch.slot, batch.partition());
        match self.txn.get::<PartitionKeyringRow>(&key)? {
            // Nobody could ever open it.
            None => refuse(Outcome::Conflict),
            Some(row) if oldest < row.min_generation => refuse(Outcome::RetiredGeneration),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn check_preconditions(&self, batch: &Batch) -> Result<(), Refused> {
        for pre in &batch.preconditions {
            let (Pre::Is { key, .. } | Pre::Absent { key }) = pre;
            let present = self.record(&own_key(batch, key.0.clone())?)?;
            let holds = match (pre, present) {
                (Pre::Absent { .. }, present) => present.is_none(),
                (Pre::Is { version, etag, .. }, Some(present)) => {
                    (present.version().0, present.etag().0) == (*version, *etag)
                }
                (Pre::Is { .. }, None) => false,
            };
            if !holds {
                return refuse(Outcome::Conflict);
            }
        }
        Ok(())
    }

    /// Writes the records; returns the slot with its new high-water mark, digest and counts.
    pub(super) fn write_records(
        &mut self,
        batch: &Batch,
        changes: Changes,
        mut slot: SlotRow,
    ) -> Result<SlotRow, Refused> {
        if changes.0.is_empty() {
            return Ok(slot);
        }
        let Some(keyring) = self.slot_keyring(batch.slot)? else { return refuse(Outcome::Conflict) };
        let open = self.state.open_slot(batch.slot, &keyring)?;
        let digest_key = &open.keyring.digest;
        for Change { key, record } in changes.0 {
            self.write_record(digest_key, &mut slot, &key, record)?;
        }
        Ok(slot)
    }

    /// Writes or deletes one record, and counts it.
    pub(super) fn write_record(
        &mut self,
        digest_key: &DigestKey,
        slot: &mut SlotRow,
        key: &RecordKey,
        record: Option<StoredRecord>,
    ) -> Result<(), StateError> {
        let mut digest = SlotDigest::from_bytes(slot.digest);
        if let Some(old) = self.record(key)? {
            digest.remove(digest_key, key, &old);
            slot.records = slot.records.saturating_sub(1);
            slot.record_bytes = slot.record_bytes.saturating_sub(size(key, &old));
        }
        match record {
            None => self.txn.delete(Table::Records, key.as_bytes()),
            Some(record) => {
                digest.add(digest_key, key, &record);
                slot.records = slot.records.saturating_add(1);
                slot.record_bytes = slot.record_bytes.saturating_add(size(key, &record));
                slot.high_water = slot.high_water.max(record.version().0);
                self.txn.put_raw(Table::Records, key.as_bytes(), record.as_bytes().clone());
            }
        }
        slot.digest = digest.to_bytes();
        Ok(())
    }

    fn record(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StateError> {
        let value = self.txn.get_raw(Table::Records, key.as_bytes())?;
        Ok(value.map(StoredRecord::parse).transpose().map_err(holdfast_store::records::RecordError::from)?)
    }
}

fn size(key: &RecordKey, record: &StoredRecord) -> u64 {
    let len = key.as_bytes().len().saturating_add(record.as_bytes().len());
    u64::try_from(len).unwrap_or(u64::MAX)
}
