//! Slots: how a group begins to serve them, gives them away and takes them in.

use std::collections::BTreeSet;

use holdfast_domain::{GroupDescriptor, GroupId, MapEpoch, ReplicaId, ReplicaState, SlotMove};
use holdfast_registry_state::MapChange;

use super::{Letter, Node, SLOTS, Surroundings, Transfer, View, Wishes, holds};
use crate::{
    base::node_of,
    machine::{Command, Phase, Rows, Status},
    raft::{Payload, Replica},
    registry::Call,
};

impl Node {
    /// What a leader does for its group's slots and key.
    pub(super) fn serve(
        &mut self,
        at: &Surroundings<'_>,
        view: &View,
        group: &GroupDescriptor,
        own: ReplicaId,
        wishes: &mut Wishes,
    ) {
        let Some(replica) = self.replicas.get_mut(&(group.group, own)) else { return };
        if !replica.leads_surely() {
            return;
        }
        // Slots that came from elsewhere are known to the log, and those that went away are for ever.
        let unknown = |slot: &u16| holds(group, *slot) && replica.machine.status(*slot).is_none();
        let new: Vec<u16> = SLOTS.into_iter().filter(unknown).collect();
        let asked = !is_new(replica, |command| matches!(command, Command::Serve(_)));
        if !new.is_empty() && group.is_settled() && !asked {
            replica.propose(Payload::Command(Command::Serve(new)));
        }
        for (since, slots) in replica.machine.outgoing.clone() {
            let listed = view.map.moves.iter().find(|slot_move| slot_move.since == since);
            let given_up = at.rules.unfreeze_on_give_up && listed.is_some_and(|slot_move| slot_move.give_up);
            // An older map than the move's own does not list it either.
            if view.map.epoch < since || (listed.is_some() && !given_up) {
                continue;
            }
            let kept = slots.iter().all(|slot| holds(group, *slot));
            let command = if kept { Command::Unfreeze(since) } else { Command::Part(since) };
            replica.propose(Payload::Command(command));
        }
        if let Some(slot_move) = view.map.moves.iter().find(|slot_move| slot_move.to == group.group) {
            import(replica, view, slot_move, wishes);
        }
        let rotation = view.rotations.get(&group.group);
        if let Some(above) = rotation
            && group.replica(own).is_some_and(|own| own.state == ReplicaState::Voter)
        {
            wishes.calls.push(Call::Rotate(group.group, own, *above));
        }
    }

    fn leader(&mut self, group: GroupId) -> Option<&mut Replica> {
        self.replicas.values_mut().find(|replica| replica.group == group && replica.leads_surely())
    }

    /// The source's part.
    pub(super) fn give(
        &mut self,
        asker: usize,
        (since, source, to): (MapEpoch, GroupId, GroupId),
        freeze: bool,
        wishes: &mut Wishes,
    ) {
        let Some(view) = self.view.clone() else { return };
        let listed = view.map.moves.iter().find(|known| known.since == since && known.from == source);
        let Some(slot_move) = listed else { return };
        let Some(replica) = self.leader(source) else { return };
        let slots = sampled(slot_move);
        if !replica.machine.outgoing.contains_key(&since) {
            if is_new(replica, |command| matches!(command, Command::BeginMove(of, _) if *of == since)) {
                replica.propose(Payload::Command(Command::BeginMove(since, slots)));
            }
            return;
        }
        let fence = slots.iter().all(|slot| replica.machine.status(*slot) == Some(Status::Frozen));
        if freeze
            && !fence
            && is_new(replica, |command| matches!(command, Command::Freeze(of) if *of == since))
        {
            replica.propose(Payload::Command(Command::Freeze(since)));
        }
        let (position, rows) = (replica.commit, replica.machine.rows(&slots));
        let piece = Transfer::Piece { since, to, position, rows, fence };
        wishes.letters.push((asker, Letter::Transfer(piece)));
    }

    /// The target's part.
    pub(super) fn take_in(
        &mut self,
        at: &Surroundings<'_>,
        (since, to): (MapEpoch, GroupId),
        position: usize,
        rows: Rows,
        fence: bool,
    ) {
        let Some(replica) = self.leader(to) else { return };
        let known = replica.machine.incoming.get(&since);
        if known.is_some_and(|incoming| incoming.phase != Phase::Importing) {
            return;
        }
        let again = known.is_some();
        replica.propose(Payload::Command(Command::Import(since, position, rows.clone())));
        if fence || (at.rules.activate_before_freeze && again) {
            replica.propose(Payload::Command(Command::Activate(since, rows)));
        }
    }
}

/// Whether no such command waits in a log.
fn is_new(replica: &Replica, is: impl Fn(&Command) -> bool) -> bool {
    let waiting = &replica.log[replica.commit..];
    !waiting.iter().any(|entry| matches!(&entry.payload, Payload::Command(command) if is(command)))
}

/// The target's leader, by what its log says of the move.
fn import(replica: &mut Replica, view: &View, slot_move: &SlotMove, wishes: &mut Wishes) {
    let SlotMove { since, from, to, slots: _, give_up } = slot_move;
    let (since, group, by) = (*since, *to, replica.id);
    let phase = replica.machine.incoming.get(&since).map(|incoming| incoming.phase);
    match phase {
        Some(Phase::Activated) => wishes.calls.push(Call::Report(MapChange::SlotsMoved { since, by })),
        Some(Phase::Aborted) => wishes.calls.push(Call::Report(MapChange::SlotsKept { since, by })),
        None | Some(Phase::Importing) if *give_up => {
            replica.propose(Payload::Command(Command::Abort(since)));
        }
        None | Some(Phase::Importing) => {
            let sources = view.map.group(*from).into_iter().flat_map(|group| &group.replicas);
            let nodes: BTreeSet<_> = sources.filter_map(|replica| node_of(replica.node)).collect();
            let freeze = phase.is_some();
            let pull = Transfer::Pull { since, from: *from, to: group, freeze };
            wishes.letters.extend(nodes.into_iter().map(|node| (node, Letter::Transfer(pull.clone()))));
        }
    }
}

fn sampled(slot_move: &SlotMove) -> Vec<u16> {
    let inside = |slot: &u16| {
        slot_move.slots.iter().any(|(first, last)| (first.number()..=last.number()).contains(slot))
    };
    SLOTS.into_iter().filter(inside).collect()
}
