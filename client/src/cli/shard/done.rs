//! When what was asked of groups is done, by what the registry lists.

use holdfast_domain::{GroupId, NodeId};

use crate::{
    cli::{
        units::show_size,
        wait::{Far, percent},
    },
    operator::{GroupRow, ReplicaRow, Shards, SlotMoveRow},
};

/// These groups have all their replicas.
pub(super) fn settled(shards: &Shards, groups: &[GroupId]) -> Far {
    let open = |row: &&GroupRow| groups.contains(&row.group) && !is_settled(row);
    let open: Vec<_> = shards.groups.iter().filter(open).collect();
    match open.first() {
        None if groups.iter().all(|id| group(shards, *id).is_some()) => Far::Done,
        None => Far::Going("not planned yet".to_owned()),
        Some(first) => Far::Going(format!("{} of {} left: {}", open.len(), groups.len(), going(first))),
    }
}

/// A replica of the group is on `target`, and none on `from`.
pub(super) fn moved(shards: &Shards, id: GroupId, from: Option<NodeId>, target: NodeId) -> Far {
    let Some(row) = group(shards, id) else { return Far::Ended(format!("group {id} is no more")) };
    let there = row.on(target).is_some();
    let gone = from.is_none_or(|from| from == target || row.on(from).is_none());
    match (is_settled(row), there && gone) {
        (true, true) => Far::Done,
        (true, false) if !there => Far::Ended(format!("the move of group {id} was given up")),
        _ => Far::Going(going(row)),
    }
}

/// What was planned to even the cluster out: `left` of it has yet to begin, as only some moves go on at a time.
pub(super) fn evened_out(shards: &Shards, groups: &[GroupId], left: usize) -> Far {
    match settled(shards, groups) {
        Far::Done if left > 0 => Far::Going(format!("{left} more replicas to move")),
        far => far,
    }
}

/// Slots of a group are with another one. The move is listed from the moment that it was asked for until it ended.
pub(super) fn slots_moved(shards: &Shards, from: GroupId, to: GroupId) -> Far {
    match (slot_move(shards, from, to), group(shards, to)) {
        // Its replicas are made first.
        (Some(SlotMoveRow { since: None, .. }), Some(row)) if !is_settled(row) => Far::Going(going(row)),
        (Some(row), _) => Far::Going(copied(row)),
        (None, Some(row)) if row.slots > 0 => Far::Done,
        (None, _) => Far::Ended(format!("the split of group {from} was given up")),
    }
}

/// A group is no more, and its slots are with another one.
pub(super) fn merged(shards: &Shards, from: GroupId, into: GroupId) -> Far {
    match (group(shards, from), slot_move(shards, from, into)) {
        (None, _) => Far::Done,
        (Some(_), Some(row)) => Far::Going(copied(row)),
        (Some(row), None) if row.slots == 0 => Far::Going(format!("group {from} is empty and being dropped")),
        (Some(_), None) => Far::Ended(format!("the merge of group {from} into {into} was given up")),
    }
}

/// Nothing leaves the group.
pub(super) fn no_slots_move(shards: &Shards, from: GroupId) -> Far {
    let row = shards.slot_moves.iter().find(|row| row.from == from);
    row.map_or(Far::Done, |row| Far::Going(copied(row)))
}

fn group(shards: &Shards, id: GroupId) -> Option<&GroupRow> {
    shards.groups.iter().find(|row| row.group == id)
}

fn slot_move(shards: &Shards, from: GroupId, to: GroupId) -> Option<&SlotMoveRow> {
    shards.slot_moves.iter().find(|row| (row.from, row.to) == (from, to))
}

/// All replicas vote, and there are as many as there are to be.
pub(in crate::cli) fn is_settled(row: &GroupRow) -> bool {
    let voters = row.replicas.iter().filter(|replica| replica.state == "voter").count();
    voters == row.replicas.len() && u32::try_from(voters).is_ok_and(|voters| voters >= row.wanted)
}

/// What a group is waiting for.
pub(in crate::cli) fn going(row: &GroupRow) -> String {
    let group = row.group;
    let of = |state: &str| row.replicas.iter().find(|replica| replica.state == state);
    match (of("learner"), of("leaving"), of("founding")) {
        (Some(learner), ..) => copying(row, learner),
        (None, Some(leaving), _) => format!("group {group}: the replica on node {} leaves", leaving.node),
        (None, None, Some(first)) => format!("group {group}: node {} makes its key", first.node),
        (None, None, None) => format!("group {group}: {}", row.state),
    }
}

fn copying(row: &GroupRow, learner: &ReplicaRow) -> String {
    let ReplicaRow { node, lag, missing_chunks, .. } = learner;
    let (have, all) = (learner.bytes(), row.bytes());
    let mut text = format!(
        "group {}: node {node} copies, {} ({} of {})",
        row.group,
        percent(have, all),
        show_size(have),
        show_size(all)
    );
    if *missing_chunks > 0 {
        text.push_str(&format!(", {missing_chunks} chunks missing"));
    } else if *lag > 0 {
        text.push_str(&format!(", {lag} entries behind"));
    }
    text
}

/// How far slots are on their way.
pub(super) fn copied(row: &SlotMoveRow) -> String {
    let SlotMoveRow { since, to, rows, rows_expected, behind, give_up, .. } = row;
    if since.is_none() {
        return format!("waiting for all replicas of group {to}");
    }
    let mut text = format!("{} ({rows} of {rows_expected} rows)", percent(*rows, *rows_expected));
    if *behind > 0 {
        text.push_str(&format!(", {behind} changed since"));
    }
    if *give_up {
        text.push_str(", being given up");
    }
    text
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{MapEpoch, ReplicaId, ShardEpoch};

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 16])
    }

    fn replica(number: u8, state: &str, bytes: u64) -> ReplicaRow {
        ReplicaRow {
            replica: ReplicaId(number.into()),
            node: node(number),
            address: String::new(),
            state: state.into(),
            leads: false,
            term: 1,
            last_log: 9,
            applied: 9,
            lag: 0,
            records: 1,
            stored_bytes: bytes,
            chunk_bytes: 0,
            missing_chunks: 0,
            fault: String::new(),
            heard: None,
            replaces: None,
        }
    }

    fn row(group: u32, slots: u32, replicas: Vec<ReplicaRow>) -> GroupRow {
        GroupRow {
            group: GroupId(group),
            epoch: ShardEpoch(1),
            slots,
            ranges: vec![],
            replicas,
            wanted: 1,
            state: "moving".into(),
            key_generation: 1,
            rotating: false,
            leader: None,
        }
    }

    fn shards(groups: Vec<GroupRow>) -> Shards {
        Shards { groups, slot_moves: vec![] }
    }

    fn slot_move() -> SlotMoveRow {
        SlotMoveRow {
            since: Some(MapEpoch(3)),
            from: GroupId(1),
            to: GroupId(2),
            slots: vec![],
            give_up: false,
            rows: 30,
            rows_expected: 120,
            behind: 4,
        }
    }

    #[test]
    fn a_move_is_done_when_the_newcomer_votes_and_the_old_one_is_gone() {
        let far = |replicas| moved(&shards(vec![row(1, 9, replicas)]), GroupId(1), Some(node(1)), node(2));
        let old = replica(1, "voter", 4096);
        let Far::Going(text) = far(vec![old.clone(), replica(2, "learner", 1024)]) else { panic!() };
        assert!(text.contains("25 %") && text.contains("1.0 KiB of 4.0 KiB"), "{text}");
        assert!(matches!(far(vec![replica(1, "leaving", 1), replica(2, "voter", 1)]), Far::Going(_)));
        assert_eq!(far(vec![replica(2, "voter", 1)]), Far::Done);
        assert!(matches!(far(vec![old.clone()]), Far::Ended(_)), "cancelled by somebody");
        let giving_up = vec![old.clone(), replica(2, "leaving", 1)];
        assert!(matches!(far(giving_up), Far::Going(_)));
        let nowhere = moved(&shards(vec![row(1, 9, vec![old])]), GroupId(1), Some(node(1)), node(1));
        assert_eq!(nowhere, Far::Done, "it was there all the time");
    }

    #[test]
    fn a_split_is_done_when_the_new_group_has_slots() {
        let (first, ready) = (row(1, 9, vec![replica(1, "voter", 1)]), replica(2, "voter", 1));
        let far = |shards| slots_moved(&shards, GroupId(1), GroupId(2));
        let founding = row(2, 0, vec![replica(2, "founding", 0)]);
        let empty = row(2, 0, vec![ready.clone()]);
        let waiting = SlotMoveRow { since: None, rows: 0, rows_expected: 0, behind: 0, ..slot_move() };
        for (second, words) in [(&founding, "makes its key"), (&empty, "all replicas of group 2")] {
            let groups = vec![first.clone(), second.clone()];
            let Far::Going(text) = far(Shards { groups: groups.clone(), slot_moves: vec![waiting.clone()] })
            else {
                panic!("it has not begun")
            };
            assert!(text.contains(words), "{text}");
            assert!(matches!(far(shards(groups)), Far::Ended(_)), "given up before it began");
        }
        let going = Shards { groups: vec![first.clone(), empty.clone()], slot_moves: vec![slot_move()] };
        let Far::Going(text) = far(going) else { panic!() };
        assert!(text.contains("25 %") && text.contains("4 changed since"), "{text}");
        assert_eq!(far(shards(vec![first.clone(), row(2, 4, vec![ready])])), Far::Done);
        let elsewhere = SlotMoveRow { to: GroupId(3), ..slot_move() };
        let elsewhere = Shards { groups: vec![first, empty], slot_moves: vec![elsewhere] };
        assert!(matches!(far(elsewhere), Far::Ended(_)), "another move of the group's slots");
    }

    #[test]
    fn a_merge_is_done_when_the_group_is_gone() {
        let far = |groups| merged(&shards(groups), GroupId(1), GroupId(2));
        let voter = vec![replica(1, "voter", 1)];
        assert!(matches!(far(vec![row(1, 0, voter.clone())]), Far::Going(_)));
        assert!(matches!(far(vec![row(1, 7, voter.clone())]), Far::Ended(_)));
        assert_eq!(far(vec![]), Far::Done);
        let going = Shards { groups: vec![row(1, 7, voter)], slot_moves: vec![slot_move()] };
        assert!(matches!(merged(&going, GroupId(1), GroupId(2)), Far::Going(_)));
        assert!(matches!(merged(&going, GroupId(1), GroupId(3)), Far::Ended(_)), "it goes elsewhere now");
    }

    #[test]
    fn what_is_given_up_is_over_when_nothing_is_listed_and_not_before() {
        let far = |slot_moves| no_slots_move(&Shards { groups: vec![], slot_moves }, GroupId(1));
        let giving_up = SlotMoveRow { give_up: true, ..slot_move() };
        for open in [SlotMoveRow { since: None, ..slot_move() }, giving_up] {
            assert!(matches!(far(vec![open]), Far::Going(_)));
        }
        assert_eq!(far(vec![]), Far::Done);
        assert_eq!(far(vec![SlotMoveRow { from: GroupId(4), ..slot_move() }]), Far::Done);
    }

    #[test]
    fn what_has_yet_to_begin_to_move_is_not_evened_out() {
        let quiet = shards(vec![row(1, 9, vec![replica(1, "voter", 1)])]);
        assert!(matches!(evened_out(&quiet, &[GroupId(1)], 2), Far::Going(text) if text.contains('2')));
        assert_eq!(evened_out(&quiet, &[GroupId(1)], 0), Far::Done);
    }

    #[test]
    fn groups_are_settled_with_as_many_voters_as_wanted() {
        let ids = [GroupId(1)];
        assert!(matches!(settled(&shards(vec![]), &ids), Far::Going(_)));
        let mut group = row(1, 9, vec![replica(1, "voter", 1)]);
        assert_eq!(settled(&shards(vec![group.clone()]), &ids), Far::Done);
        group.wanted = 3;
        assert!(matches!(settled(&shards(vec![group]), &ids), Far::Going(_)));
    }
}
