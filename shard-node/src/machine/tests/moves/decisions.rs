//! Who serves in the end, and what is forgotten.

use holdfast_domain::{GroupId, Lineage, MapEpoch, Slot};

use super::{
    super::support::*,
    shared_engine,
    world::{Flaw, Step, World},
};
use crate::machine::{
    Command, FencedSlot, IncomingPhase, MoveCommand, Outcome, OutgoingPhase, OutgoingRow, SlotEpoch,
    SlotStatus, Table,
};

#[test]
fn a_target_that_lacks_a_record_does_not_activate() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    for id in 1..4 {
        world.step(&Step::Write { id, name: id, delete: false }).unwrap();
    }
    let since = world.since;
    while world.outgoing().is_none_or(|row| !matches!(row.phase, OutgoingPhase::Frozen { .. })) {
        world.drive(100).unwrap();
    }
    let mut fence = None;
    while fence.is_none() {
        let Some(IncomingPhase::Importing { position }) = world.incoming().map(|row| row.phase) else {
            panic!()
        };
        let outgoing = world.outgoing().unwrap();
        let pulled = world.groups[0].state.read().pull(&outgoing, &position, 100).unwrap();
        if pulled.to == position {
            fence = world.groups[0].state.read().fence(since).unwrap();
        } else {
            world.import(position, 100).unwrap();
        }
    }
    let fence = fence.unwrap();
    let with = |change: &dyn Fn(&mut FencedSlot)| {
        let mut fence = fence.clone();
        change(&mut fence.slots[0]);
        Command::Move(MoveCommand::Activate { since, fence })
    };
    let differ = [
        with(&|slot| slot.digest[31] ^= 1),
        with(&|slot| slot.records += 1),
        with(&|slot| slot.partitions += 1),
        with(&|slot| slot.high_water = 0),
    ];
    for command in differ {
        assert_eq!(world.groups[1].apply(&command), Outcome::Differs);
    }
    assert_eq!(world.groups[1].apply(&with(&|_| {})), Outcome::Applied);
    // Decided: it cannot be given up any more, and whoever asks again is told the same.
    let from = world.groups[0].state.keys().group();
    assert_eq!(
        world.groups[1].apply(&Command::Move(MoveCommand::AbortImport { since, from })),
        Outcome::Conflict
    );
    assert_eq!(world.groups[1].apply(&with(&|_| {})), Outcome::Applied);
    let moved = world.slot_row(1).unwrap();
    assert_eq!((moved.epoch, moved.status), (SlotEpoch(2), SlotStatus::Active));
}

#[test]
fn a_freeze_writes_one_row_and_stops_every_slot_also_after_a_restart() {
    let mut source = Replica::ready(&shared_engine());
    let all = vec![(Slot::try_from(0).unwrap(), Slot::try_from(2047).unwrap())];
    let rest = Command::ActivateSlots { ranges: all.clone(), epoch: SlotEpoch::FIRST };
    assert_eq!(source.apply(&rest), Outcome::Applied);
    let step =
        |source: &mut Replica, command| assert_eq!(source.apply(&Command::Move(command)), Outcome::Applied);
    let begin = |number, slots| {
        let (to, lineage, transfer_key) = (GroupId(9), Lineage(0), [3; 32]);
        MoveCommand::BeginMove { since: MapEpoch(number), to, slots, lineage, transfer_key }
    };
    let since = MapEpoch(1);
    step(&mut source, begin(1, all.clone()));
    let mut id = 0;
    let mut write = |source: &mut Replica| {
        id += 1;
        source.apply(&Command::Batch(batch(id, vec![], vec![put(id, id.into(), 1)])))
    };
    assert_eq!(write(&mut source), Outcome::Applied);
    assert_eq!(source.state.stats().unwrap().active_slots, 2048);
    let before = rows(&mut source);
    step(&mut source, MoveCommand::FreezeSlots { since });
    let after = rows(&mut source);
    let changed: Vec<_> = after.iter().filter(|(key, value)| before.get(*key) != Some(*value)).collect();
    assert_eq!((changed.len(), changed[0].0[0], after.len()), (1, Table::Outgoing.number(), before.len()));
    let dump = source.dump();
    source.machine.install(&mut dump.as_slice(), META).unwrap();
    assert_eq!((write(&mut source), source.state.stats().unwrap().active_slots), (Outcome::WrongSlot, 0));
    assert_eq!(source.state.read().slot(slot()).unwrap().unwrap().status, SlotStatus::Frozen);
    // Given up, they serve again; and the next move of others does not say anything about these.
    step(&mut source, MoveCommand::UnfreezeSlots { since });
    assert_eq!((write(&mut source), source.state.stats().unwrap().active_slots), (Outcome::Applied, 2048));
    step(&mut source, begin(2, vec![(Slot::try_from(9).unwrap(), Slot::try_from(9).unwrap())]));
    step(&mut source, MoveCommand::FreezeSlots { since: MapEpoch(2) });
    assert_eq!((write(&mut source), source.state.stats().unwrap().active_slots), (Outcome::Applied, 2047));
    step(&mut source, MoveCommand::PartWithSlots { since: MapEpoch(2) });
    let parted = source.state.read().slot(Slot::try_from(9).unwrap()).unwrap().unwrap();
    assert_eq!(parted.status, SlotStatus::Gone);
}

#[test]
fn who_read_a_slot_and_then_another_state_of_its_move_does_not_serve_it() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    while world.outgoing().is_none() {
        world.drive(100).unwrap();
    }
    let (row, moving) = (world.slot_row(0).unwrap(), world.outgoing().unwrap());
    let with = |outgoing: Option<OutgoingRow>| row.now(slot(), || Ok(outgoing)).unwrap().status;
    assert_eq!(with(Some(moving.clone())), SlotStatus::Moving);
    for phase in [OutgoingPhase::Frozen { at: 9 }, OutgoingPhase::Kept, OutgoingPhase::Parted] {
        assert_eq!(with(Some(OutgoingRow { phase, ..moving.clone() })), SlotStatus::Frozen);
    }
    let other = Slot::try_from(9).unwrap();
    assert_eq!(with(Some(OutgoingRow { slots: vec![(other, other)], ..moving })), SlotStatus::Frozen);
    assert_eq!(with(None), SlotStatus::Frozen);
}

#[test]
fn what_was_seen_before_a_slot_went_does_not_forget_its_rows() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    world.step(&Step::Write { id: 1, name: 1, delete: false }).unwrap();
    let give_up = |world: &mut World| {
        while world.outgoing().is_none() {
            world.drive(100).unwrap();
        }
        // Some rows come.
        world.drive(100).unwrap();
        world.give_up = true;
        world.drive(100).unwrap();
    };
    give_up(&mut world);
    world.drive(100).unwrap();
    let is_forget = |of: &&(usize, Command)| matches!(of.1, Command::Move(MoveCommand::ForgetSlots { .. }));
    let (group, late) = world.proposed.iter().rfind(is_forget).cloned().unwrap();
    give_up(&mut world);
    assert_eq!(world.slot_row(group).unwrap().status, SlotStatus::Gone);
    assert_eq!(world.groups[group].apply(&late), Outcome::Conflict);
    assert_eq!(world.slot_row(group).unwrap().status, SlotStatus::Gone);
}

#[test]
fn a_slot_that_left_is_never_taken_for_a_new_one() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    world.step(&Step::Write { id: 1, name: 1, delete: false }).unwrap();
    while world.moves == 0 {
        world.drive(100).unwrap();
    }
    let again = Command::ActivateSlots { ranges: vec![(slot(), slot())], epoch: SlotEpoch::FIRST };
    assert_eq!(world.groups[0].apply(&again), Outcome::Applied);
    assert_eq!(world.slot_row(0).unwrap().status, SlotStatus::Left);
    let late = Command::Batch(batch(2, vec![], vec![put(1, 99, 1)]));
    assert_eq!(world.groups[0].apply(&late), Outcome::WrongSlot);
}
