//! What the leaders of both groups do, one step at a time.

use std::sync::Arc;

use holdfast_domain::{KeyGeneration, Lineage, MapEpoch, PolicyEpoch};
use holdfast_keys::{SlotKey, SlotKeyring};
use holdfast_store::{KeyRange, ScanLimit};

use super::{
    super::support::*,
    world::{Checked, Flaw, World},
};
use crate::machine::{
    Command, Fence, FencedSlot, IncomingPhase, MoveCommand, MovedRow, Outcome, OutgoingRow, Position,
    Rekeyed, Row as _, SlotKeyringRow, SlotRow, SlotStatus, Table, fingerprint, slot_key, slots_of,
    travel::Pulled,
};

impl World {
    pub(super) fn propose(&mut self, group: usize, command: MoveCommand) -> Outcome {
        let command = Command::Move(command);
        self.proposed.push((group, command.clone()));
        self.groups[group].apply(&command)
    }

    /// What the leaders of both groups would do next.
    pub(super) fn drive(&mut self, most: usize) -> Checked {
        let (source, target, since) = (self.source, 1 - self.source, self.since);
        let (from, to) = (self.groups[source].state.keys().group(), self.groups[target].state.keys().group());
        let slots = vec![(slot(), slot())];
        match self.incoming().map(|row| row.phase) {
            None if self.give_up => drop(self.propose(target, MoveCommand::AbortImport { since, from })),
            None if self.slot_row(target).is_some_and(|row| row.status == SlotStatus::Gone) => {
                self.clean(target);
            }
            None => {
                let (generation, sealed) = (KeyGeneration(1), vec![1; 32].into());
                let key =
                    MoveCommand::PutTransferKey { since, from, slots, generation, sealed, public: [3; 32] };
                self.expect(target, key)?;
            }
            Some(IncomingPhase::Prepared | IncomingPhase::Importing { .. }) if self.give_up => {
                self.expect(target, MoveCommand::AbortImport { since, from })?;
            }
            Some(IncomingPhase::Prepared) => {
                self.expect(
                    source,
                    MoveCommand::BeginMove { since, to, slots, lineage: Lineage(0), transfer_key: [3; 32] },
                )?;
                self.expect(target, MoveCommand::BeginImport { since })?;
            }
            Some(IncomingPhase::Importing { position }) => self.import(position, most)?,
            Some(IncomingPhase::Activated) => {
                self.moves += 1;
                if self.flaw == Flaw::EarlyFence {
                    // A source that never froze would refuse to part: that is too late, and not what is shown.
                    self.propose(source, MoveCommand::FreezeSlots { since });
                }
                self.expect(source, MoveCommand::PartWithSlots { since })?;
                self.rekey(target)?;
                self.clean(source);
                self.source = target;
                self.next_move();
            }
            Some(IncomingPhase::Aborted) => {
                if self.outgoing().is_some() {
                    self.expect(source, MoveCommand::UnfreezeSlots { since })?;
                }
                self.clean(target);
                self.next_move();
            }
        }
        Ok(())
    }

    pub(super) fn next_move(&mut self) {
        self.since = MapEpoch(self.since.0 + 1);
        self.give_up = false;
    }

    pub(super) fn expect(&mut self, group: usize, command: MoveCommand) -> Checked {
        match self.propose(group, command.clone()) {
            Outcome::Applied => Ok(()),
            other => Err(format!("{command:?} was answered {other:?}")),
        }
    }

    pub(super) fn import(&mut self, position: Position, most: usize) -> Checked {
        let (source, target, since) = (self.source, 1 - self.source, self.since);
        let Some(outgoing) = self.outgoing() else { return Err("the source knows of no move".into()) };
        let Pulled { rows, mut to, caught_up } =
            self.groups[source].state.read().pull(&outgoing, &position, most).unwrap();
        if caught_up && position == to {
            if let Some(fence) = self.fence(&outgoing) {
                return self.expect(target, MoveCommand::Activate { since, fence });
            }
            return self.expect(source, MoveCommand::FreezeSlots { since });
        }
        let mut rows: Vec<_> = rows.into_iter().map(|row| self.translate(row)).collect();
        match (self.flaw, &mut to) {
            (Flaw::NoDedup, _) => rows.retain(|row| row.table != Table::Dedup.number()),
            // It says that it is done, as if nothing had changed.
            (Flaw::NoFeed, Position::Feed { .. }) => rows.clear(),
            _ => {}
        }
        self.expect(target, MoveCommand::ImportRows { since, from: position, to, rows })
    }

    pub(super) fn fence(&self, outgoing: &OutgoingRow) -> Option<Fence> {
        let reader = self.groups[self.source].state.read();
        if self.flaw != Flaw::EarlyFence {
            return reader.fence(self.since).unwrap();
        }
        let Some(IncomingPhase::Importing { position: Position::Feed { next, .. } }) =
            self.incoming().map(|row| row.phase)
        else {
            return None;
        };
        let slots = slots_of(&outgoing.slots).map(|slot| {
            let row = reader.slot(slot).unwrap().unwrap();
            let SlotRow { epoch, high_water, digest, records, partitions, .. } = row;
            FencedSlot { slot, epoch, high_water, digest, records, partitions }
        });
        Some(Fence { frozen: next - 1, min_policy: PolicyEpoch(0), slots: slots.collect() })
    }

    /// As the two leaders do with a slot's keyring.
    pub(super) fn translate(&self, row: MovedRow) -> MovedRow {
        if row.table != Table::SlotKeyrings.number() {
            return row;
        }
        let (from, to) = (&self.groups[self.source].state, &self.groups[1 - self.source].state);
        let sealed = SlotKeyringRow::decode(&row.value.unwrap().0).unwrap();
        let keyring = from.keys().open_slot(slot(), &sealed).unwrap();
        let sealed = to.keys().seal_slot(slot(), &keyring).unwrap();
        MovedRow { value: Some(sealed.encode().unwrap().into()), ..row }
    }

    pub(super) fn rekey(&mut self, group: usize) -> Checked {
        let state = Arc::clone(&self.groups[group].state);
        let row = self.slot_row(group).unwrap();
        if !row.stale_key {
            return Err("a slot that came has stale keys".into());
        }
        let present = state.read().get_raw(Table::SlotKeyrings, &slot_key(slot())).unwrap().unwrap();
        let old = state.keys().open_slot(slot(), &SlotKeyringRow::decode(&present).unwrap()).unwrap();
        let SlotKeyring { locator, digest, .. } = old;
        let keyring = SlotKeyring { slot: SlotKey::generate().unwrap(), locator, digest };
        let SlotKeyringRow { generation, sealed } = state.keys().seal_slot(slot(), &keyring).unwrap();
        let range = KeyRange::prefix(slot_key(slot()).to_vec());
        let page = state.read().scan(Table::PartitionKeyrings, &range, ScanLimit::MAX).unwrap();
        let rekeyed = |row: &holdfast_store::Row| Rekeyed {
            partition: row.key[2..].try_into().unwrap(),
            previous: fingerprint(&row.value),
            sealed: vec![9; 64].into(),
        };
        let partitions: Vec<_> = page.rows.iter().map(rekeyed).collect();
        let command = |partitions| MoveCommand::RekeySlot {
            slot: slot(),
            epoch: row.epoch,
            previous: fingerprint(&present),
            generation,
            sealed: sealed.clone(),
            partitions,
        };
        if self.propose(group, command(partitions[1..].to_vec())) != Outcome::Conflict {
            return Err("a keyring was left out".into());
        }
        self.expect(group, command(partitions))
    }

    /// Drops what is left, a few rows at a time.
    pub(super) fn clean(&mut self, group: usize) {
        loop {
            let rows = self.groups[group].state.read().leftovers().unwrap();
            if rows.is_empty() {
                break;
            }
            assert_eq!(self.propose(group, MoveCommand::DropRows { rows }), Outcome::Applied);
        }
        let slots = vec![(slot(), slot())];
        let moves = self.last_moves(group);
        assert_eq!(self.propose(group, MoveCommand::ForgetSlots { slots, moves }), Outcome::Applied);
    }
}
