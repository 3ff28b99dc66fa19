//! Applying commands: deterministic, and blind to what the records say.
//!
//! Order of a batch's checks: command id → slot active and epoch equal → policy → data key generation → every precondition →
//! versions above the slot's high-water mark → everything in one write. A refused command leaves no trace.

mod batch;
mod dedup;
mod files;
mod records;

use holdfast_domain::{KeyGeneration, Sha256Hash, Slot};
use holdfast_store::records::PartitionToken;

use super::{
    Blob, Command, GroupState, Outcome, Prefix, SlotEpoch, StateError, Table, layout,
    rows::{GroupRow, PartitionKeyringRow, Row, SlotKeyringRow, SlotRow, SlotStatus, fingerprint},
    txn::Txn,
};

/// Commands on their way into the state.
pub(super) struct Applying<'a> {
    state: &'a GroupState,
    pub(super) txn: Txn<'a>,
}

/// Why a command is refused; anything else that goes wrong stops the machine.
enum Refused {
    Outcome(Outcome),
    Broken(StateError),
}

impl From<StateError> for Refused {
    fn from(error: StateError) -> Self {
        Self::Broken(error)
    }
}

/// Stops a command with an outcome.
fn refuse<T>(outcome: Outcome) -> Result<T, Refused> {
    Err(Refused::Outcome(outcome))
}

impl<'a> Applying<'a> {
    pub(super) fn new(state: &'a GroupState, prefix: Prefix) -> Self {
        Self { state, txn: Txn::new(&**state.engine(), prefix) }
    }

    /// Applies one command.
    pub(super) fn apply(&mut self, command: Command) -> Result<Outcome, StateError> {
        let result = match command {
            Command::Batch(batch) => self.batch(&batch),
            Command::ActivateSlots { ranges, epoch } => self.activate(&ranges, epoch),
            Command::Freeze { slot, epoch } => self.freeze(slot, epoch),
            Command::PutSlotKeyring { slot, epoch, previous, generation, sealed } => {
                self.put_slot_keyring(slot, epoch, previous, SlotKeyringRow { generation, sealed })
            }
            Command::PutPartitionKeyring { slot, epoch, partition, previous, min_generation, sealed } => {
                let at = Place { slot, epoch, partition: PartitionToken(partition) };
                self.put_partition_keyring(at, previous, min_generation, sealed)
            }
            Command::RequirePolicy { epoch } => self.require_policy(GroupRow { min_policy: epoch }),
        };
        match result {
            Ok(()) => {
                self.txn.keep();
                Ok(Outcome::Applied)
            }
            Err(Refused::Outcome(outcome)) => {
                self.txn.discard();
                Ok(outcome)
            }
            Err(Refused::Broken(error)) => Err(error),
        }
    }

    fn activate(&mut self, ranges: &[(Slot, Slot)], epoch: SlotEpoch) -> Result<(), Refused> {
        if ranges.len() > usize::from(Slot::COUNT) {
            return refuse(Outcome::Malformed);
        }
        for (first, last) in ranges {
            for number in first.number()..=last.number() {
                let Ok(slot) = Slot::try_from(number) else { return refuse(Outcome::Malformed) };
                let row = match self.txn.get::<SlotRow>(&layout::slot(slot))? {
                    None => SlotRow::activated(epoch),
                    Some(row) if row.epoch < epoch && row.status == SlotStatus::Frozen => {
                        SlotRow { epoch, status: SlotStatus::Active, ..row }
                    }
                    Some(_) => continue,
                };
                self.txn.put(&layout::slot(slot), &row)?;
            }
        }
        Ok(())
    }

    fn freeze(&mut self, slot: Slot, epoch: SlotEpoch) -> Result<(), Refused> {
        let row = self.serving(slot, epoch)?;
        Ok(self.txn.put(&layout::slot(slot), &SlotRow { status: SlotStatus::Frozen, ..row })?)
    }

    fn put_slot_keyring(
        &mut self,
        slot: Slot,
        epoch: SlotEpoch,
        previous: Option<Sha256Hash>,
        row: SlotKeyringRow,
    ) -> Result<(), Refused> {
        self.serving(slot, epoch)?;
        self.replace(&layout::slot(slot), previous, &row)
    }

    fn put_partition_keyring(
        &mut self,
        Place { slot, epoch, partition }: Place,
        previous: Option<Sha256Hash>,
        min_generation: KeyGeneration,
        sealed: Blob,
    ) -> Result<(), Refused> {
        self.serving(slot, epoch)?;
        let row = PartitionKeyringRow { min_generation, sealed };
        self.replace(&layout::partition(slot, partition), previous, &row)
    }

    /// Writes a row if the present one is the expected one.
    fn replace<R: Row>(&mut self, key: &[u8], previous: Option<Sha256Hash>, row: &R) -> Result<(), Refused> {
        let present = self.txn.get_raw(R::TABLE, key)?.as_deref().map(fingerprint);
        if present == previous { Ok(self.txn.put(key, row)?) } else { refuse(Outcome::Conflict) }
    }

    fn require_policy(&mut self, row: GroupRow) -> Result<(), Refused> {
        let present = self.txn.get::<GroupRow>(&[])?.unwrap_or_default();
        if present.min_policy < row.min_policy {
            self.txn.put(&[], &row)?;
        }
        Ok(())
    }

    /// The slot, if it takes commands of this epoch.
    fn serving(&self, slot: Slot, epoch: SlotEpoch) -> Result<SlotRow, Refused> {
        match self.txn.get::<SlotRow>(&layout::slot(slot))? {
            Some(row) if row.serves(epoch) => Ok(row),
            _ => refuse(Outcome::WrongSlot),
        }
    }

    /// The slot's keyring row as stored.
    fn slot_keyring(&self, slot: Slot) -> Result<Option<bytes::Bytes>, StateError> {
        self.txn.get_raw(Table::SlotKeyrings, &layout::slot(slot))
    }
}

/// A partition of a slot at an epoch.
struct Place {
    slot: Slot,
    epoch: SlotEpoch,
    partition: PartitionToken,
}
