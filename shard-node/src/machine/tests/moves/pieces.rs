//! Rows on their way: each once, none early, none twice.

use holdfast_domain::{CommandId, GroupId, KeyGeneration, Lineage, MapEpoch, PolicyEpoch, Slot};
use holdfast_keys::SlotKeyring;
use holdfast_store::{KeyRange, ScanLimit, records::PartitionToken};
use proptest::prelude::*;

use super::{
    super::support::*,
    shared_engine,
    world::{Flaw, Step, World},
};
use crate::machine::{
    Batch, Blob, Command, Fence, IncomingPhase, MoveCommand, MovedRow, Op, Outcome, Position, Row as _,
    SlotEpoch, Table, fingerprint, layout,
    moves::TRAVEL,
    rows::{BucketRow, Ids, RecentRow},
    slot_of,
};

#[test]
fn rows_that_come_twice_or_early_are_refused_and_change_nothing() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    world.step(&Step::Write { id: 1, name: 1, delete: false }).unwrap();
    for _ in 0..4 {
        world.drive(2).unwrap();
    }
    let target = 1 - world.source;
    let before = rows(&mut world.groups[target]);
    let imports: Vec<_> = world.proposed.iter().filter(|(group, _)| *group == target).cloned().collect();
    assert!(imports.len() >= 3);
    let (_, again) = imports.last().unwrap();
    assert_eq!(world.groups[target].apply(again), Outcome::Conflict);
    let fence = Fence { frozen: 1 << 40, min_policy: PolicyEpoch(0), slots: vec![] };
    let early = Command::Move(MoveCommand::Activate { since: world.since, fence });
    assert_eq!(world.groups[target].apply(&early), Outcome::Conflict);
    assert_eq!(rows(&mut world.groups[target]), before);
}

/// Commands of numbered ids, all of which have one outcome.
fn write(world: &mut World, group: usize, ids: std::ops::Range<u16>, expected: Outcome) {
    let id = |number: u16| CommandId::new(std::array::from_fn(|at| number.to_be_bytes()[at % 2]));
    let commands = ids.map(|number| Command::Batch(Batch { id: id(number), ..batch(0, vec![], vec![]) }));
    let outcomes = world.groups[group].apply_all(&commands.collect::<Vec<_>>());
    assert!(outcomes.iter().all(|outcome| *outcome == expected));
}

#[test]
fn command_ids_travel_while_they_are_spread_over_more_rows() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    write(&mut world, 0, 0..400, Outcome::Applied);
    let mut written = 400;
    while world.serving().is_some_and(|(group, _)| group == 0) {
        world.drive(3).unwrap();
        if written < 1_000 && world.serving().is_some_and(|(group, _)| group == 0) {
            write(&mut world, 0, written..written + 100, Outcome::Applied);
            written += 100;
        }
    }
    while world.serving().is_none() {
        world.drive(30).unwrap();
    }
    assert_eq!((written, world.serving().unwrap().0), (1_000, 1));
    write(&mut world, 1, 0..written, Outcome::Duplicate);
}

#[test]
fn rows_of_command_ids_that_are_none_do_not_come_in() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    let position = loop {
        world.drive(1).unwrap();
        if let Some(IncomingPhase::Importing { position }) = world.incoming().map(|row| row.phase) {
            break position;
        }
    };
    let (token, since) = (PartitionToken(PARTITION), world.since);
    let (recent, bucket) = (layout::recent(slot(), token), layout::bucket(slot(), token, 0));
    let ids = [[1; 24]; 9];
    let recent_row = RecentRow { ids: Ids::last_of(&ids), ..RecentRow::default() }.encode().unwrap();
    let bucket_row = BucketRow { ids: Ids::last_of(&ids) }.encode().unwrap();
    let import = |key: &[u8], value: &[u8]| {
        let (key, value) = (key.to_vec().into(), Some(value.to_vec().into()));
        let (from, to) = (position.clone(), position.clone());
        let rows = vec![MovedRow { table: Table::Dedup.number(), key, value }];
        Command::Move(MoveCommand::ImportRows { since, from, to, rows })
    };
    let refused = [
        import(&recent, &bucket_row),
        import(&bucket, &recent_row),
        import(&bucket[..19], &bucket_row),
        import(&bucket, &bucket_row[..bucket_row.len() - 1]),
    ];
    for command in refused {
        assert_eq!(world.groups[1].apply(&command), Outcome::Malformed);
    }
    for command in [import(&recent, &recent_row), import(&bucket, &bucket_row)] {
        assert_eq!(world.groups[1].apply(&command), Outcome::Applied);
    }
}

/// A second slot in a range of its own, with keys and a row under each name.
fn fill(replica: &mut Replica, of: Slot, names: u8) {
    let keyring = SlotKeyring::generate().unwrap();
    let row = replica.state.keys().seal_slot(of, &keyring).unwrap();
    let (epoch, under) = (SlotEpoch::FIRST, fingerprint(&row.encode().unwrap()));
    let (generation, sealed) = (row.generation, row.sealed);
    let commands = [
        Command::ActivateSlots { ranges: vec![(of, of)], epoch },
        Command::PutSlotKeyring { slot: of, epoch, previous: None, generation, sealed },
        Command::PutPartitionKeyring {
            slot: of,
            epoch,
            partition: PARTITION,
            under,
            previous: None,
            min_generation: KeyGeneration(1),
            sealed: vec![1; 64].into(),
        },
    ];
    commands.iter().for_each(|command| assert_eq!(replica.apply(command), Outcome::Applied));
    for name in 0..names {
        let key = key_in(of, PARTITION, name);
        let ops = vec![Op::Put { key, value: value(u64::from(name) + 1, 1, name) }];
        let id = CommandId::new([100 + name; 16]);
        let batch = Command::Batch(Batch { id, slot: of, ..batch(name, vec![], ops) });
        assert_eq!(replica.apply(&batch), Outcome::Applied);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_row_of_every_range_is_pulled_once_however_small_the_pieces(most in 1usize..5, names in 1u8..7) {
        let mut source = Replica::fresh(&shared_engine());
        let slots = [1, 3, 9].map(|number| Slot::try_from(number).unwrap());
        slots.iter().for_each(|of| fill(&mut source, *of, names));
        // One between them that stays.
        fill(&mut source, Slot::try_from(5).unwrap(), names);
        let begin = MoveCommand::BeginMove {
            since: MapEpoch(1),
            to: GroupId(99),
            slots: slots.map(|of| (of, of)).to_vec(),
            lineage: Lineage(0),
            transfer_key: [3; 32],
        };
        prop_assert_eq!(source.apply(&Command::Move(begin)), Outcome::Applied);
        let reader = source.state.read();
        let outgoing = reader.outgoing().unwrap().unwrap();
        let (mut position, mut pulled) = (Position::start(), Vec::new());
        while matches!(position, Position::Rows { .. }) {
            let piece = reader.pull(&outgoing, &position, most).unwrap();
            prop_assert!(piece.to != position, "no progress at {:?}", position);
            pulled.extend(piece.rows.into_iter().map(|row| (row.table, row.key)));
            position = piece.to;
        }
        let mut expected = Vec::new();
        for table in TRAVEL {
            let rows = reader.scan(table, &KeyRange::all(), ScanLimit::MAX).unwrap().rows;
            let moves = |key: &[u8]| slots.contains(&slot_of(key).unwrap());
            expected.extend(rows.into_iter().filter(|row| moves(&row.key)).map(|row| (table.number(), Blob(row.key))));
        }
        prop_assert_eq!(pulled, expected);
    }
}

#[test]
fn what_is_left_of_the_changes_is_counted_from_where_the_target_is() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    while world.outgoing().is_none() {
        world.drive(100).unwrap();
    }
    let left = |world: &World, at: &Position| {
        world.groups[world.source].state.read().feed_left(world.since, at).unwrap()
    };
    assert_eq!(left(&world, &Position::start()), 0);
    for id in 1..4 {
        world.step(&Step::Write { id, name: id, delete: false }).unwrap();
    }
    // A record and the command's id each.
    assert_eq!(left(&world, &Position::start()), 6);
    let mut seen = Vec::new();
    while seen.last() != Some(&0) {
        let Some(IncomingPhase::Importing { position }) = world.incoming().map(|row| row.phase) else {
            panic!()
        };
        seen.push(left(&world, &position));
        world.drive(1).unwrap();
    }
    assert!(seen.is_sorted_by(|before, after| before >= after), "{seen:?}");
    assert!((0..=6).all(|left| seen.contains(&left)), "{seen:?}");
}
