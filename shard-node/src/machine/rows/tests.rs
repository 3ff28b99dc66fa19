use std::fmt::Debug;

use holdfast_domain::{CommandId, GroupId, Lineage, MapEpoch, Sha256Hash, Slot};
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
    let buckets = Buckets::try_from(200).unwrap();
    let (first, second) = (CommandId::new([4; 16]), CommandId::new([5; 16]));
    let ids = Ids::default().and(first, UnixMs(300)).and(second, UnixMs(301));
    frozen(&RecentRow { buckets, remembered: 300, ids }, next());
    frozen(&BucketRow { ids: Ids::default().and(first, UnixMs(300)) }, next());
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

#[test]
fn command_ids_are_as_many_as_fit_and_whole() {
    let packed = |bytes: usize| Ids::<3>::try_from(Blob::from(vec![1; bytes]));
    assert_eq!([0, 24, 48, 72].map(|bytes| packed(bytes).unwrap().entries().len()), [0, 1, 2, 3]);
    assert!([1, 23, 25, 71, 73, 96].iter().all(|bytes| packed(*bytes).is_err()));
    let ids = (0..5).map(|number| CommandId::new([number; 16]));
    let ids = ids.fold(Ids::<3>::default(), |ids, id| ids.and(id, UnixMs(1)));
    assert!(ids.is_full() && (0..5).all(|number| ids.has(CommandId::new([number; 16])) == (number > 1)));
    let row = BucketRow { ids: Ids::last_of(&[[1; 24]; 300]) };
    let (bytes, limit) = (row.encode().unwrap(), crate::limits::DEDUP_BUCKET);
    assert!(row.ids.entries().len() == limit && bytes.len() < MAX_ROW_BYTES / 8);
    assert!(BucketRow::decode(&bytes).is_ok() && RecentRow::decode(&bytes).is_err());
    assert!(RecentRow::decode(&[1, 129, 2, 0, 0]).is_err(), "257 buckets");
}

proptest! {
    #[test]
    fn arbitrary_rows_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = (Progress::decode(&bytes), GroupRow::decode(&bytes), SlotRow::decode(&bytes));
        let _ = (SlotKeyringRow::decode(&bytes), PartitionKeyringRow::decode(&bytes));
        let _ = (RecentRow::decode(&bytes), BucketRow::decode(&bytes));
        let _ = (FileRow::decode(&bytes), PageRow::decode(&bytes));
        let _ = (OutgoingRow::decode(&bytes), IncomingRow::decode(&bytes), FeedRow::decode(&bytes));
    }
}
