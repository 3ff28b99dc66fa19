use std::fmt::Debug;

use holdfast_domain::{GroupId, Lineage, MapEpoch, Sha256Hash, Slot};
use proptest::prelude::*;

use super::{super::moves::Position, *};

fn frozen<R: Row + PartialEq + Debug>(row: &R, hex: &str) {
    let encoded = hex::encode(row.encode().unwrap());
    assert_eq!(encoded, hex, "table {:?}", R::TABLE);
    assert_eq!(R::decode(&hex::decode(hex).unwrap()).unwrap(), *row);
}

#[test]
fn frozen_rows_still_decode() {
    let mut lines = include_str!("../../../frozen/rows-1.hex").lines();
    let mut next = || lines.next().unwrap_or_default();
    frozen(&Progress(300), next());
    frozen(&GroupRow { min_policy: PolicyEpoch(3), min_generation: KeyGeneration(2) }, next());
    let slot = SlotRow {
        high_water: 7,
        digest: [8; 32],
        records: 9,
        record_bytes: 500,
        ..SlotRow::activated(SlotEpoch(2))
    };
    frozen(&slot, next());
    frozen(&SlotRow { status: SlotStatus::Frozen, ..slot }, next());
    frozen(&SlotKeyringRow { generation: KeyGeneration(2), sealed: vec![1, 2].into() }, next());
    frozen(&PartitionKeyringRow { min_generation: KeyGeneration(2), sealed: vec![3].into() }, next());
    let seen = |number| (CommandId::new([number; 16]), UnixMs(300));
    frozen(&DedupRow { ids: vec![seen(4), seen(5)] }, next());
    let state = FileState::Staged { expires: UnixMs(300), upload_row: vec![6].into() };
    frozen(&FileRow { partition: [7; 16], state }, next());
    frozen(&FileRow { partition: [7; 16], state: FileState::Live { chunks: 300 } }, next());
    frozen(&FileRow { partition: [7; 16], state: FileState::Dead }, next());
    let chunk = ChunkRef { id: [8; 16], len: 300, sha256: Sha256Hash::new([9; 32]) };
    frozen(&PageRow { chunks: vec![chunk, chunk] }, next());
    for status in [SlotStatus::Moving, SlotStatus::Gone, SlotStatus::Left, SlotStatus::Importing] {
        frozen(&SlotRow { status, stale_key: true, partitions: 300, ..slot }, next());
    }
    let (since, slots) = (MapEpoch(300), vec![(Slot::try_from(1).unwrap(), Slot::try_from(300).unwrap())]);
    for phase in
        [OutgoingPhase::Moving, OutgoingPhase::Frozen { at: 9 }, OutgoingPhase::Kept, OutgoingPhase::Parted]
    {
        let (to, slots) = (GroupId(2), slots.clone());
        frozen(
            &OutgoingRow { since, to, slots, lineage: Lineage(0), transfer_key: [3; 32], began: 8, phase },
            next(),
        );
    }
    let position = Position::Feed { next: 300, skip: 1 };
    for phase in [
        IncomingPhase::Prepared,
        IncomingPhase::Importing { position },
        IncomingPhase::Activated,
        IncomingPhase::Aborted,
    ] {
        let (from, slots, sealed) = (GroupId(1), slots.clone(), vec![1].into());
        let generation = KeyGeneration(2);
        frozen(&IncomingRow { since, from, slots, generation, sealed, public: [3; 32], phase }, next());
    }
    frozen(&FeedRow { changed: vec![(6, vec![1, 2].into())] }, next());
}

proptest! {
    #[test]
    fn arbitrary_rows_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = (Progress::decode(&bytes), GroupRow::decode(&bytes), SlotRow::decode(&bytes));
        let _ = (SlotKeyringRow::decode(&bytes), PartitionKeyringRow::decode(&bytes), DedupRow::decode(&bytes));
        let _ = (FileRow::decode(&bytes), PageRow::decode(&bytes));
        let _ = (OutgoingRow::decode(&bytes), IncomingRow::decode(&bytes), FeedRow::decode(&bytes));
    }
}
