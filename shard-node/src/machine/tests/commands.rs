//! What each check of a command refuses, and that a refusal leaves no trace.

use holdfast_domain::{FileId, KeyGeneration, PolicyEpoch, Sha256Hash, Slot, UnixMs};
use proptest::prelude::*;

use super::support::*;
use crate::machine::{
    Batch, ChunkRef, Command, FileRow, FileState, Op, Outcome, PageRow, Pre, SlotEpoch, Table, file_key,
    page_key,
};

fn commit(replica: &mut Replica, batch: Batch) -> Outcome {
    replica.apply(&Command::Batch(batch))
}

#[test]
fn each_check_refuses_with_its_own_outcome_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    assert_eq!(commit(&mut replica, batch(1, vec![], vec![put(1, 5, 1)])), Outcome::Applied);
    let before = rows(&mut replica);
    let other = Slot::try_from(6).unwrap();
    let base = |id| batch(id, vec![], vec![put(2, 9, 1)]);
    let refused = [
        (batch(1, vec![is(9, 9, 9)], vec![]), Outcome::Duplicate),
        (Batch { slot: other, ..base(2) }, Outcome::WrongSlot),
        (Batch { slot_epoch: SlotEpoch(2), ..base(2) }, Outcome::WrongSlot),
        (batch(2, vec![Pre::Absent { key: key(1) }], vec![put(2, 9, 1)]), Outcome::Conflict),
        (batch(2, vec![is(1, 5, 2)], vec![put(2, 9, 1)]), Outcome::Conflict),
        (batch(2, vec![is(1, 4, 1)], vec![put(2, 9, 1)]), Outcome::Conflict),
        (batch(2, vec![is(3, 5, 1)], vec![put(2, 9, 1)]), Outcome::Conflict),
        (batch(2, vec![], vec![put(2, 9, 1), put(3, 5, 1)]), Outcome::Conflict),
        (batch(2, vec![], vec![Op::Put { key: key(2), value: value(9, 0, 1) }]), Outcome::RetiredGeneration),
        (
            batch(2, vec![], vec![Op::Put { key: key_in(other, PARTITION, 1), value: value(9, 1, 1) }]),
            Outcome::Malformed,
        ),
        (batch(2, vec![], vec![Op::Delete { key: key_in(slot(), [8; 16], 1) }]), Outcome::Malformed),
        (batch(2, vec![Pre::Absent { key: key_in(slot(), [8; 16], 1) }], vec![]), Outcome::Malformed),
        (batch(2, vec![], vec![Op::Put { key: key(2), value: vec![1, 2, 3].into() }]), Outcome::Malformed),
        (
            batch(2, vec![], vec![put(2, 9, 1), Op::LiveFile { file: FileId::new([1; 16]), chunks: 1 }]),
            Outcome::Conflict,
        ),
    ];
    for (batch, outcome) in refused {
        assert_eq!(commit(&mut replica, batch.clone()), outcome, "{batch:?}");
    }
    assert_eq!(rows(&mut replica), before);
    assert!(replica.state.verify_digests().unwrap().is_empty());
}

#[test]
fn a_policy_that_no_longer_counts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    assert_eq!(replica.apply(&Command::RequirePolicy { epoch: PolicyEpoch(3) }), Outcome::Applied);
    assert_eq!(replica.apply(&Command::RequirePolicy { epoch: PolicyEpoch(2) }), Outcome::Applied);
    let old = Batch { policy_epoch: PolicyEpoch(2), ..batch(1, vec![], vec![put(1, 1, 1)]) };
    assert_eq!(commit(&mut replica, old.clone()), Outcome::StalePolicy);
    assert_eq!(commit(&mut replica, Batch { policy_epoch: PolicyEpoch(3), ..old }), Outcome::Applied);
}

#[test]
fn a_keyring_is_replaced_only_by_who_saw_the_present_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    let slot_row = replica.state.read().get_raw(Table::SlotKeyrings, &crate::machine::slot_key(slot()));
    let under = Sha256Hash::of(&slot_row.unwrap().unwrap());
    let put_keyring = |previous, min| Command::PutPartitionKeyring {
        slot: slot(),
        epoch: SlotEpoch::FIRST,
        partition: PARTITION,
        under,
        previous,
        min_generation: KeyGeneration(min),
        sealed: vec![2; 64].into(),
    };
    assert_eq!(replica.apply(&put_keyring(None, 2)), Outcome::Conflict);
    let row = crate::machine::partition_key(slot(), holdfast_store::records::PartitionToken(PARTITION));
    let present = replica.state.read().get_raw(Table::PartitionKeyrings, &row).unwrap().unwrap();
    let Command::PutPartitionKeyring { slot: of, epoch, partition, sealed, .. } = put_keyring(None, 2) else {
        panic!()
    };
    // Sealed under a slot key that was replaced meanwhile: it would never open again.
    let (under, previous) = (Sha256Hash::new([0; 32]), Some(Sha256Hash::of(&present)));
    let late = Command::PutPartitionKeyring {
        slot: of,
        epoch,
        partition,
        under,
        previous,
        min_generation: KeyGeneration(2),
        sealed,
    };
    assert_eq!(replica.apply(&late), Outcome::Conflict);
    assert_eq!(replica.apply(&put_keyring(previous, 2)), Outcome::Applied);
    assert_eq!(commit(&mut replica, batch(1, vec![], vec![put(1, 1, 1)])), Outcome::RetiredGeneration);
}

#[test]
fn a_file_lives_and_dies_in_order_and_in_its_own_partition() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    let file = FileId::new([5; 16]);
    let chunks = vec![ChunkRef { id: [1; 16], len: 100, sha256: Sha256Hash::new([2; 32]) }];
    let begin = Op::BeginFile { file, expires: UnixMs(9), upload_row: key(1) };
    let page = Op::PutPage { file, page: 0, chunks: chunks.clone() };
    let live = Op::LiveFile { file, chunks: 1 };
    let mut step = |id, op: &Op| commit(&mut replica, batch(id, vec![], vec![op.clone()]));
    assert_eq!(step(1, &live), Outcome::Conflict);
    assert_eq!(step(1, &page), Outcome::Conflict);
    assert_eq!(step(1, &begin), Outcome::Applied);
    assert_eq!(step(2, &begin), Outcome::Conflict);
    assert_eq!(step(3, &page), Outcome::Applied);
    assert_eq!(step(4, &live), Outcome::Applied);
    assert_eq!(step(5, &page), Outcome::Conflict);
    assert_eq!(step(5, &Op::DropPages { file, pages: vec![0] }), Outcome::Conflict);
    assert_eq!(step(5, &Op::ForgetFile { file }), Outcome::Conflict);
    let foreign = Batch { partition: [8; 16], ..batch(6, vec![], vec![Op::DeadFile { file }]) };
    assert_eq!(commit(&mut replica, foreign), Outcome::Conflict);
    let row = replica.state.read().get::<FileRow>(&file_key(slot(), file)).unwrap().unwrap();
    assert_eq!(row.state, FileState::Live { chunks: 1 });
    assert_eq!(
        replica.state.read().get::<PageRow>(&page_key(slot(), file, 0)).unwrap(),
        Some(PageRow { chunks })
    );
    let end = vec![Op::DeadFile { file }, Op::DropPages { file, pages: vec![0, 1] }, Op::ForgetFile { file }];
    assert_eq!(commit(&mut replica, batch(7, vec![], end)), Outcome::Applied);
    assert_eq!(replica.state.read().get::<FileRow>(&file_key(slot(), file)).unwrap(), None);
    assert_eq!(replica.state.read().get::<PageRow>(&page_key(slot(), file, 0)).unwrap(), None);
}

#[test]
fn a_record_put_back_to_an_older_copy_is_found_by_the_digest() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut replica = Replica::ready(&engine);
    commit(&mut replica, batch(1, vec![], vec![put(1, 1, 1), put(2, 2, 1)]));
    commit(&mut replica, batch(2, vec![], vec![put(1, 3, 2), Op::Delete { key: key(2) }]));
    assert!(replica.state.verify_digests().unwrap().is_empty());
    let at = replica.state.read().prefix().key(Table::Records, &key(1).0);
    let mut swap = holdfast_store::Batch::new();
    swap.put(at, value(1, 1, 1).0);
    engine.write(swap).unwrap();
    assert_eq!(replica.state.verify_digests().unwrap(), vec![slot()]);
}

#[test]
fn frozen_commands_and_outcomes_still_decode() {
    let file = FileId::new([5; 16]);
    let chunks = vec![ChunkRef { id: [1; 16], len: 100, sha256: Sha256Hash::new([2; 32]) }];
    let ops = vec![
        put(1, 5, 1),
        Op::Delete { key: vec![1].into() },
        Op::BeginFile { file, expires: UnixMs(9), upload_row: vec![2].into() },
        Op::PutPage { file, page: 3, chunks },
        Op::LiveFile { file, chunks: 4 },
        Op::DeadFile { file },
        Op::DropPages { file, pages: vec![1, 2] },
        Op::ForgetFile { file },
    ];
    let pre =
        vec![Pre::Is { key: vec![1].into(), version: 5, etag: [1; 8] }, Pre::Absent { key: vec![2].into() }];
    let [activate, slot_keyring, partition_keyring] = prelude(holdfast_domain::GroupId(1));
    let Command::PutSlotKeyring { slot, epoch, previous, generation, .. } = slot_keyring else { panic!() };
    let slot_keyring =
        Command::PutSlotKeyring { slot, epoch, previous, generation, sealed: vec![1; 3].into() };
    let Command::PutPartitionKeyring { partition, min_generation, sealed, .. } = partition_keyring else {
        panic!()
    };
    let under = Sha256Hash::new([7; 32]);
    let partition_keyring =
        Command::PutPartitionKeyring { slot, epoch, partition, under, previous, min_generation, sealed };
    let commands = [
        Command::Batch(batch(1, pre, ops)),
        activate,
        slot_keyring,
        partition_keyring,
        Command::RequirePolicy { epoch: PolicyEpoch(3) },
    ];
    let commands = commands.into_iter().chain(super::moves::frozen().map(Command::Move));
    let commands: Vec<_> = commands
        .chain([
            Command::TakeDigests { mark: 300 },
            Command::RequireGeneration { generation: KeyGeneration(2) },
        ])
        .collect();
    let frozen = include_str!("../../../frozen/commands-1.hex");
    let encoded: Vec<_> = commands.iter().map(|command| hex::encode(command.encode().unwrap())).collect();
    assert_eq!(encoded, frozen.lines().collect::<Vec<_>>(), "{}", encoded.join("\n"));
    for (command, line) in commands.iter().zip(frozen.lines()) {
        assert_eq!(Command::decode(&hex::decode(line).unwrap()).as_ref(), Ok(command));
    }
    let outcomes = [
        Outcome::Applied,
        Outcome::Duplicate,
        Outcome::Conflict,
        Outcome::WrongSlot,
        Outcome::StalePolicy,
        Outcome::RetiredGeneration,
        Outcome::Malformed,
        Outcome::Differs,
    ];
    for (number, outcome) in (0..).zip(outcomes) {
        assert_eq!(outcome.encode().unwrap(), [1, number]);
    }
}

proptest! {
    #[test]
    fn arbitrary_and_damaged_frames_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..400, with: u8) {
        let _ = Command::decode(&bytes);
        let _ = Outcome::decode(&bytes);
        let mut frame = Command::Batch(batch(1, vec![is(1, 2, 3)], vec![put(1, 5, 1)])).encode().unwrap();
        let at = at % frame.len();
        frame[at] = with;
        let _ = Command::decode(&frame);
    }
}

#[test]
fn a_frame_that_does_not_decode_is_an_answer_and_not_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    let good = Command::Batch(batch(1, vec![], vec![put(1, 1, 1)])).encode().unwrap();
    assert_eq!(
        replica.apply_frames(&[vec![], vec![1, 99], good]),
        [Outcome::Malformed, Outcome::Malformed, Outcome::Applied]
    );
}
