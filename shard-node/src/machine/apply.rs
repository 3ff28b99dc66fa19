//! Applying commands: deterministic, and blind to what the records say.
//!
//! Order of a batch's checks: command id → slot active and epoch equal → policy → data key generation → every precondition →
//! versions above the slot's high-water mark → everything in one write. A refused command leaves no trace. What a command
//! changes in a slot that is handed over is noted in the same write.

mod batch;
mod dedup;
mod digests;
mod feed;
mod fence;
mod files;
mod incoming;
mod outgoing;
mod records;
mod rekey;

use holdfast_domain::{FileId, PolicyEpoch, Sha256Hash, Slot};
use holdfast_store::records::PartitionToken;

use super::{
    Command, GroupState, Outcome, Prefix, SlotEpoch, StateError, Table, layout,
    moves::MoveCommand,
    rows::{
        GroupRow, IncomingPhase, IncomingRow, OutgoingPhase, OutgoingRow, PartitionKeyringRow, Row,
        SlotKeyringRow, SlotRow, SlotStatus, fingerprint,
    },
    txn::Txn,
};

/// Commands on their way into the state.
pub(super) struct Applying<'a> {
    state: &'a GroupState,
    pub(super) txn: Txn<'a>,
    /// Of the running command.
    ordinal: u64,
    /// Whether the running command changes a slot that is handed over.
    moving: bool,
    /// Files that were published since the last write.
    published: Vec<(Slot, FileId)>,
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
        Self {
            state,
            txn: Txn::new(&**state.engine(), prefix),
            ordinal: 0,
            moving: false,
            published: Vec::new(),
        }
    }

    /// Applies one command; `ordinal` is its place in the log.
    pub(super) fn apply(&mut self, command: Command, ordinal: u64) -> Result<Outcome, StateError> {
        (self.ordinal, self.moving) = (ordinal, false);
        let result = match command {
            Command::Batch(batch) => self.batch(&batch),
            Command::ActivateSlots { ranges, epoch } => self.activate(&ranges, epoch),
            Command::PutSlotKeyring { slot, epoch, previous, generation, sealed } => {
                self.put_slot_keyring(slot, epoch, previous, SlotKeyringRow { generation, sealed })
            }
            Command::PutPartitionKeyring {
                slot,
                epoch,
                partition,
                under,
                previous,
                min_generation,
                sealed,
            } => {
                let at = Place { slot, epoch, partition: PartitionToken(partition) };
                self.put_partition_keyring(
                    at,
                    under,
                    previous,
                    PartitionKeyringRow { min_generation, sealed },
                )
            }
            Command::RequirePolicy { epoch } => self.require_policy(epoch),
            Command::RequireGeneration { generation } => self.require_generation(generation),
            Command::Move(command) => self.move_step(command),
            Command::TakeDigests { mark } => self.take_digests(mark),
        };
        match result {
            Ok(()) => {
                if self.moving {
                    self.note_changes()?;
                }
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

    /// Writes what was kept. Who looks for a published file's chunks is told when its rows are there, not before.
    pub(super) fn write(&mut self) -> Result<(), StateError> {
        self.state.write(self.txn.take())?;
        self.published.drain(..).for_each(|(slot, file)| self.state.news().file(slot, file));
        Ok(())
    }

    fn activate(&mut self, ranges: &[(Slot, Slot)], epoch: SlotEpoch) -> Result<(), Refused> {
        if ranges.len() > usize::from(Slot::COUNT) {
            return refuse(Outcome::Malformed);
        }
        for (first, last) in ranges {
            for number in first.number()..=last.number() {
                let Ok(slot) = Slot::try_from(number) else { return refuse(Outcome::Malformed) };
                if self.txn.get::<SlotRow>(&layout::slot(slot))?.is_none() {
                    self.txn.put(&layout::slot(slot), &SlotRow::activated(epoch))?;
                }
            }
        }
        Ok(())
    }

    fn move_step(&mut self, command: MoveCommand) -> Result<(), Refused> {
        match command {
            MoveCommand::BeginMove { since, to, slots, lineage, transfer_key } => {
                let (began, phase) = (self.ordinal, OutgoingPhase::Moving);
                self.begin_move(OutgoingRow { since, to, slots, lineage, transfer_key, began, phase })
            }
            MoveCommand::FreezeSlots { since } => self.freeze_slots(since),
            MoveCommand::UnfreezeSlots { since } => self.unfreeze_slots(since),
            MoveCommand::PartWithSlots { since } => self.part_with_slots(since),
            MoveCommand::DropRows { rows } => self.drop_rows(&rows),
            MoveCommand::ForgetSlots { slots, moves } => self.forget_slots(&slots, moves),
            MoveCommand::PutTransferKey { since, from, slots, generation, sealed, public } => {
                let phase = IncomingPhase::Prepared;
                self.put_transfer_key(IncomingRow { since, from, slots, generation, sealed, public, phase })
            }
            MoveCommand::BeginImport { since } => self.begin_import(since),
            MoveCommand::ImportRows { since, from, to, rows } => self.import_rows(since, &from, to, &rows),
            MoveCommand::Activate { since, fence } => self.activate_import(since, &fence),
            MoveCommand::AbortImport { since, from } => self.abort_import(since, from),
            MoveCommand::RekeySlot { slot, epoch, previous, generation, sealed, partitions } => {
                self.rekey_slot((slot, epoch), previous, &SlotKeyringRow { generation, sealed }, partitions)
            }
        }
    }

    /// A first keyring only while the slot serves; the same keys sealed anew also while its rows come or go.
    fn put_slot_keyring(
        &mut self,
        slot: Slot,
        epoch: SlotEpoch,
        previous: Option<Sha256Hash>,
        row: SlotKeyringRow,
    ) -> Result<(), Refused> {
        self.admit_generation(row.generation)?;
        match self.slot(slot)? {
            Some(slot) if slot.status != SlotStatus::Left && slot.epoch == epoch && previous.is_some() => {
                self.moving = slot.status == SlotStatus::Moving;
            }
            _ => drop(self.serving(slot, epoch)?),
        }
        self.replace(&layout::slot(slot), previous, &row)
    }

    fn put_partition_keyring(
        &mut self,
        Place { slot, epoch, partition }: Place,
        under: Sha256Hash,
        previous: Option<Sha256Hash>,
        row: PartitionKeyringRow,
    ) -> Result<(), Refused> {
        let mut counted = self.serving(slot, epoch)?;
        if self.slot_keyring(slot)?.as_deref().map(fingerprint) != Some(under) {
            return refuse(Outcome::Conflict);
        }
        self.replace(&layout::partition(slot, partition), previous, &row)?;
        if previous.is_none() {
            counted.partitions = counted.partitions.saturating_add(1);
            self.txn.put(&layout::slot(slot), &counted)?;
        }
        Ok(())
    }

    /// Writes a row if the present one is the expected one.
    fn replace<R: Row>(&mut self, key: &[u8], previous: Option<Sha256Hash>, row: &R) -> Result<(), Refused> {
        let present = self.txn.get_raw(R::TABLE, key)?.as_deref().map(fingerprint);
        if present == previous { Ok(self.txn.put(key, row)?) } else { refuse(Outcome::Conflict) }
    }

    fn require_policy(&mut self, epoch: PolicyEpoch) -> Result<(), Refused> {
        let present = self.txn.get::<GroupRow>(&[])?.unwrap_or_default();
        if present.min_policy < epoch {
            self.txn.put(&[], &GroupRow { min_policy: epoch, ..present })?;
        }
        Ok(())
    }

    /// The slot, with the status that it has now.
    fn slot(&self, slot: Slot) -> Result<Option<SlotRow>, StateError> {
        let row = self.txn.get::<SlotRow>(&layout::slot(slot))?;
        row.map(|row| row.now(slot, || self.txn.get(&[]))).transpose()
    }

    /// The slot, if it takes commands of this epoch.
    fn serving(&mut self, slot: Slot, epoch: SlotEpoch) -> Result<SlotRow, Refused> {
        match self.slot(slot)? {
            Some(row) if row.serves(epoch) => {
                self.moving = row.status == SlotStatus::Moving;
                Ok(row)
            }
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
