//! One of each command, for the test of frozen bytes.

use holdfast_domain::{GroupId, KeyGeneration, Lineage, MapEpoch, PolicyEpoch, Sha256Hash, Slot};
use holdfast_store::records::PartitionToken;

use super::super::support::*;
use crate::machine::{
    Blob, Fence, FencedSlot, MoveCommand, MovedRow, Position, Rekeyed, SlotEpoch, partition_key,
};

/// One of each, for the test of frozen bytes.
pub(in super::super) fn frozen() -> impl Iterator<Item = MoveCommand> {
    let (since, from, to) = (MapEpoch(300), GroupId(1), GroupId(2));
    let slots = vec![(slot(), Slot::try_from(300).unwrap())];
    let (generation, sealed): (_, Blob) = (KeyGeneration(2), vec![1, 2].into());
    let hash = Sha256Hash::new([4; 32]);
    let fenced = FencedSlot {
        slot: slot(),
        epoch: SlotEpoch(1),
        high_water: 300,
        digest: [5; 32],
        records: 6,
        partitions: 7,
    };
    let row = |value| MovedRow { table: 6, key: vec![1].into(), value };
    let partition = partition_key(slot(), PartitionToken([8; 16]))[2..].try_into().unwrap();
    [
        MoveCommand::BeginMove {
            since,
            to,
            slots: slots.clone(),
            lineage: Lineage(0),
            transfer_key: [3; 32],
        },
        MoveCommand::FreezeSlots { since },
        MoveCommand::UnfreezeSlots { since },
        MoveCommand::PartWithSlots { since },
        MoveCommand::DropRows { rows: vec![(6, vec![1].into())] },
        MoveCommand::ForgetSlots { slots: slots.clone(), moves: [Some((since, true)), None] },
        MoveCommand::PutTransferKey {
            since,
            from,
            slots,
            generation,
            sealed: sealed.clone(),
            public: [3; 32],
        },
        MoveCommand::BeginImport { since },
        MoveCommand::ImportRows {
            since,
            from: Position::Rows { step: 1, from: vec![1].into() },
            to: Position::Feed { next: 300, skip: 2 },
            rows: vec![row(None), row(Some(vec![2].into()))],
        },
        MoveCommand::Activate {
            since,
            fence: Fence { frozen: 300, min_policy: PolicyEpoch(3), slots: vec![fenced] },
        },
        MoveCommand::AbortImport { since, from },
        MoveCommand::RekeySlot {
            slot: slot(),
            epoch: SlotEpoch(2),
            previous: hash,
            generation,
            sealed: sealed.clone(),
            partitions: vec![Rekeyed { partition, previous: hash, sealed }],
        },
    ]
    .into_iter()
}
