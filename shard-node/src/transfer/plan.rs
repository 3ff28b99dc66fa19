//! What a leader does next about moves: a pure function of the signed map and of its group's state.

use holdfast_domain::{GroupId, ShardMap, SlotMove};

use crate::machine::{IncomingPhase, IncomingRow, OutgoingPhase, OutgoingRow, slots_of};

/// What a group's state says about moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) outgoing: Option<OutgoingRow>,
    pub(super) incoming: Option<IncomingRow>,
    /// Served slots whose keys another group knew.
    pub(super) stale_keys: bool,
    /// Slots that are gone, or feeds that nobody pulls.
    pub(super) leftovers: bool,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// Target: make the transfer key.
    Prepare(SlotMove),
    /// Target: show it to the source.
    Begin(SlotMove),
    /// Target: take rows over, freeze, activate.
    Import(SlotMove),
    /// Target: decide against it.
    Abort(SlotMove),
    /// Target: tell the registry what was decided.
    ReportMoved(SlotMove),
    /// Likewise.
    ReportKept(SlotMove),
    /// Source: serve again.
    Unfreeze(OutgoingRow),
    /// Source: never serve again.
    Part(OutgoingRow),
    /// New keys for what came.
    Rekey,
    /// Rows that nobody needs: at once, as they are in the way or were never served.
    DropNow,
    /// Rows of slots that were handed over, when they are old enough.
    DropLater,
}

/// What `group`, led by us, does next.
pub(super) fn next_step(group: GroupId, map: &ShardMap, known: &Known) -> Step {
    if let Some(step) = known.outgoing.as_ref().and_then(|outgoing| ended(group, map, outgoing)) {
        return step;
    }
    if let Some(incoming) = map.moves.iter().find(|of| of.to == group)
        && let Some(step) = towards(incoming, known)
    {
        return step;
    }
    if known.stale_keys {
        return Step::Rekey;
    }
    match (&known.incoming, &known.outgoing) {
        _ if !known.leftovers => Step::Rest,
        // What is gone since the last hand-over is kept for a while; what was there before, or never was served here, is not.
        (_, Some(OutgoingRow { phase: OutgoingPhase::Parted, .. })) => Step::DropLater,
        _ => Step::DropNow,
    }
}

/// What becomes of slots whose move the map does not list any more.
fn ended(group: GroupId, map: &ShardMap, outgoing: &OutgoingRow) -> Option<Step> {
    let listed = map.moves.iter().any(|of| of.since == outgoing.since && of.from == group);
    // A map from before the move does not list it either, and one that was restored from before it never does.
    if listed || !outgoing.is_open() || map.lineage != outgoing.lineage || map.epoch <= outgoing.since {
        return None;
    }
    let descriptor = map.group(group)?;
    if slots_of(&outgoing.slots).all(|slot| descriptor.holds(slot)) {
        return Some(Step::Unfreeze(outgoing.clone()));
    }
    let mut slots = slots_of(&outgoing.slots);
    let elsewhere = slots.all(|slot| map.group_of(slot).is_some_and(|holder| holder.group != group));
    elsewhere.then(|| Step::Part(outgoing.clone()))
}

/// The target's next step of a move that the map lists.
fn towards(incoming: &SlotMove, known: &Known) -> Option<Step> {
    let row = known.incoming.as_ref().filter(|row| row.since == incoming.since);
    Some(match row.map(|row| &row.phase) {
        None if incoming.give_up => Step::Abort(incoming.clone()),
        None if known.leftovers => Step::DropNow,
        None => Step::Prepare(incoming.clone()),
        Some(IncomingPhase::Prepared | IncomingPhase::Importing { .. }) if incoming.give_up => {
            Step::Abort(incoming.clone())
        }
        Some(IncomingPhase::Prepared) => Step::Begin(incoming.clone()),
        Some(IncomingPhase::Importing { .. }) => Step::Import(incoming.clone()),
        Some(IncomingPhase::Activated) => Step::ReportMoved(incoming.clone()),
        Some(IncomingPhase::Aborted) => Step::ReportKept(incoming.clone()),
    })
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{ClusterId, GroupDescriptor, KeyGeneration, Lineage, MapEpoch, ShardEpoch, Slot};

    use super::*;
    use crate::machine::{Blob, Position};

    const SOURCE: GroupId = GroupId(1);
    const TARGET: GroupId = GroupId(2);
    const SINCE: MapEpoch = MapEpoch(5);

    fn slots() -> Vec<(Slot, Slot)> {
        vec![(Slot::try_from(8).unwrap(), Slot::try_from(9).unwrap())]
    }

    fn moving(give_up: bool) -> SlotMove {
        SlotMove { since: SINCE, from: SOURCE, to: TARGET, slots: slots(), give_up }
    }

    /// The map at an epoch, with the slots at a group.
    fn map(epoch: u64, holder: GroupId, moves: Vec<SlotMove>) -> ShardMap {
        let group = |group| GroupDescriptor {
            group,
            epoch: ShardEpoch(1),
            slots: if group == holder { slots() } else { Vec::new() },
            replicas: Vec::new(),
        };
        ShardMap {
            cluster: ClusterId::new([1; 16]),
            lineage: Lineage(0),
            epoch: MapEpoch(epoch),
            groups: vec![group(SOURCE), group(TARGET)],
            moves,
        }
    }

    fn outgoing(phase: OutgoingPhase) -> Known {
        let row = OutgoingRow {
            since: SINCE,
            to: TARGET,
            slots: slots(),
            lineage: Lineage(0),
            transfer_key: [0; 32],
            began: 1,
            phase,
        };
        Known { outgoing: Some(row), ..Known::default() }
    }

    fn incoming(phase: IncomingPhase) -> Known {
        let (sealed, public) = (Blob::default(), [0; 32]);
        let generation = KeyGeneration(1);
        let row =
            IncomingRow { since: SINCE, from: SOURCE, slots: slots(), generation, sealed, public, phase };
        Known { incoming: Some(row), ..Known::default() }
    }

    #[test]
    fn a_target_goes_on_from_what_its_log_says() {
        let of = |known: &Known, give_up| next_step(TARGET, &map(5, SOURCE, vec![moving(give_up)]), known);
        let (go, stop) = (moving(false), moving(true));
        assert_eq!(of(&Known::default(), false), Step::Prepare(go.clone()));
        assert_eq!(of(&Known { leftovers: true, ..Known::default() }, false), Step::DropNow);
        assert_eq!(of(&Known::default(), true), Step::Abort(stop.clone()));
        assert_eq!(of(&incoming(IncomingPhase::Prepared), false), Step::Begin(go.clone()));
        let importing = incoming(IncomingPhase::Importing { position: Position::start() });
        assert_eq!(of(&importing, false), Step::Import(go.clone()));
        assert_eq!(of(&importing, true), Step::Abort(stop.clone()));
        // Too late to give up.
        assert_eq!(of(&incoming(IncomingPhase::Activated), true), Step::ReportMoved(stop.clone()));
        assert_eq!(of(&incoming(IncomingPhase::Aborted), false), Step::ReportKept(go));
    }

    #[test]
    fn a_source_serves_again_or_never_again_only_by_a_later_map_without_the_move() {
        let frozen = outgoing(OutgoingPhase::Frozen { at: 9 });
        let row = frozen.outgoing.clone().unwrap();
        let of = |map: &ShardMap| next_step(SOURCE, map, &frozen);
        assert_eq!(of(&map(5, SOURCE, vec![moving(false)])), Step::Rest);
        assert_eq!(of(&map(9, SOURCE, vec![moving(true)])), Step::Rest);
        // This node has not heard of the move yet.
        assert_eq!(of(&map(4, SOURCE, vec![])), Step::Rest);
        let restored = ShardMap { lineage: Lineage(1), ..map(6, SOURCE, vec![]) };
        assert_eq!(of(&restored), Step::Rest);
        assert_eq!(of(&map(6, SOURCE, vec![])), Step::Unfreeze(row.clone()));
        assert_eq!(of(&map(6, TARGET, vec![])), Step::Part(row));
        assert_eq!(next_step(SOURCE, &map(6, TARGET, vec![]), &outgoing(OutgoingPhase::Parted)), Step::Rest);
    }

    #[test]
    fn rows_of_slots_that_left_are_kept_for_a_while_and_aborted_imports_are_not() {
        let with = |known: Known| Known { leftovers: true, ..known };
        let at = |known: Known| next_step(SOURCE, &map(6, TARGET, vec![]), &with(known));
        assert_eq!(at(outgoing(OutgoingPhase::Parted)), Step::DropLater);
        assert_eq!(at(incoming(IncomingPhase::Aborted)), Step::DropNow);
        let stale = Known { stale_keys: true, ..incoming(IncomingPhase::Activated) };
        assert_eq!(next_step(TARGET, &map(6, TARGET, vec![]), &stale), Step::Rekey);
    }
}
