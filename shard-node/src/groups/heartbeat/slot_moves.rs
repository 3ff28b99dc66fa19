//! How far moves of slots are.

use std::sync::Arc;

use holdfast_domain::{GroupId, MapEpoch, SlotMove};
use holdfast_proto::registry::v1::SlotMoveProgress;

use crate::{groups::Runtime, machine::Position, partition::ShardGroup};

/// As far as the groups know that this node leads: the source what there is and what is left of the changes, the target what it has.
pub(super) async fn slot_moves(runtime: &Runtime) -> Vec<SlotMoveProgress> {
    let view = Arc::clone(&runtime.view.borrow());
    let mut told = Vec::new();
    for slot_move in view.map.iter().flat_map(|map| &map.map.moves) {
        let (from, to) =
            (records(runtime, slot_move.from, slot_move), records(runtime, slot_move.to, slot_move));
        let (rows_expected, rows, behind) = tokio::join!(from, to, behind(runtime, slot_move));
        if rows_expected.is_some() || rows.is_some() {
            told.push(SlotMoveProgress {
                since: slot_move.since.0,
                rows: rows.unwrap_or_default(),
                rows_expected: rows_expected.unwrap_or_default(),
                behind: behind.unwrap_or_default(),
            });
        }
    }
    told
}

/// Records of the slots that move, in a group that this node leads.
async fn records(runtime: &Runtime, group: GroupId, slot_move: &SlotMove) -> Option<u64> {
    let shard = led(runtime, group)?;
    let slots = slot_move.slots.clone();
    shard.blocking(move |shard| Ok(shard.state().records_in(&slots)?)).await.ok()
}

/// Changes that a group that this node leads noted and that were not asked for yet.
async fn behind(runtime: &Runtime, slot_move: &SlotMove) -> Option<u64> {
    let shard = led(runtime, slot_move.from)?;
    let since = slot_move.since;
    let pulled = runtime.done(shard.id(), |done| done.pulled.clone());
    // Asked by nobody since this leader leads: all of it is left, as far as it knows.
    let from = pulled.filter(|(of, _)| *of == since).map_or_else(Position::start, |(_, position)| position);
    shard.blocking(move |shard| Ok(shard.state().read().feed_left(since, &from)?)).await.ok()
}

fn led(runtime: &Runtime, group: GroupId) -> Option<Arc<ShardGroup>> {
    runtime.hosted.get(group).filter(|shard| shard.leads())
}

impl Runtime {
    /// How far a move's target is that asks this node's replica for rows.
    pub(crate) fn note_pulled(&self, group: GroupId, since: MapEpoch, position: Position) {
        self.done(group, |done| done.pulled = Some((since, position)));
    }
}
