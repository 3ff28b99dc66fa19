//! One node of a run: what its disk holds, which map it saw last, and what it does about both. What is next for a replica is the node's
//! real planner; the rest is a model.

mod slots;
mod steps;

use std::{collections::BTreeMap, rc::Rc};

use holdfast_domain::{GroupDescriptor, GroupId, KeyGeneration, MapEpoch, ReplicaId, ShardMap, Slot};

use crate::{
    base::node_id,
    chance::Chance,
    machine::Rows,
    raft::{Message, Outgoing, Replica},
    registry::{Call, Registry},
    rules::Rules,
};

/// The slots that clients write to; all others move with them.
pub const SLOTS: [u16; 8] = [10, 600, 1_100, 1_700, 2_100, 2_700, 3_200, 4_000];

/// What the registry told a node last.
#[derive(Debug, Clone)]
pub struct View {
    /// The signed map.
    pub map: Rc<ShardMap>,
    /// Replicas to delete.
    pub drops: Vec<(GroupId, ReplicaId)>,
    /// Keys to replace.
    pub rotations: BTreeMap<GroupId, KeyGeneration>,
}

/// Between leaders of two groups.
#[derive(Debug, Clone)]
pub enum Transfer {
    /// The target asks for rows; and for the freeze, when it has nearly all.
    Pull {
        /// The move.
        since: MapEpoch,
        /// Its source.
        from: GroupId,
        /// Its target.
        to: GroupId,
        /// Whether nearly all is there.
        freeze: bool,
    },
    /// The source's rows at a position of its log; `fence` when they are the last.
    Piece {
        /// The move.
        since: MapEpoch,
        /// Its target.
        to: GroupId,
        /// Of the source's log.
        position: usize,
        /// All rows at this position.
        rows: Rows,
        /// Nothing follows.
        fence: bool,
    },
}

/// What a node sends.
#[derive(Debug, Clone)]
pub enum Letter {
    /// To a replica of a group.
    Raft {
        /// The group.
        group: GroupId,
        /// The sender.
        from: ReplicaId,
        /// The receiver.
        to: ReplicaId,
        /// What it says.
        message: Message,
    },
    /// To whoever leads.
    Transfer(Transfer),
}

/// A machine.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Whether the process runs.
    pub up: bool,
    /// Every replica on its disk.
    pub replicas: BTreeMap<(GroupId, ReplicaId), Replica>,
    /// What it knows; none before the first word of the registry.
    pub view: Option<View>,
}

/// What a node wants of the world.
#[derive(Default)]
pub struct Wishes {
    /// To the registry.
    pub calls: Vec<Call>,
    /// To other nodes.
    pub letters: Vec<(usize, Letter)>,
}

/// What a node may look at while it acts.
pub struct Surroundings<'a> {
    /// The node's own place.
    pub me: usize,
    /// The clock.
    pub now: u64,
    /// Only asked what a node would have asked it: whether a key is wrapped.
    pub registry: &'a Registry,
    /// What each replica's peers remember that it acknowledged.
    pub floors: &'a BTreeMap<ReplicaId, (u64, usize)>,
    /// The rules.
    pub rules: Rules,
}

impl Node {
    /// One round over everything that is its business.
    pub fn round(&mut self, at: &Surroundings<'_>, chance: &mut Chance) -> Wishes {
        let mut wishes = Wishes::default();
        let Some(view) = self.view.clone() else { return wishes };
        for group in &view.map.groups {
            if let Some(own) = group.on(node_id(at.me)) {
                self.step(at, group, own.replica, chance, &mut wishes);
                self.serve(at, &view, group, own.replica, &mut wishes);
            }
        }
        self.drop_replicas(at, &view, &mut wishes);
        wishes
    }

    fn drop_replicas(&mut self, at: &Surroundings<'_>, view: &View, wishes: &mut Wishes) {
        for (group, replica) in &view.drops {
            let gone = view.map.group(*group).is_none_or(|of| {
                of.replica(*replica).is_none() && of.voters().any(|voter| voter.node != node_id(at.me))
            });
            if gone {
                self.replicas.remove(&(*group, *replica));
                wishes.calls.push(Call::Dropped(*group, *replica));
            }
        }
    }

    /// Takes a letter of another node.
    pub fn receive(
        &mut self,
        at: &Surroundings<'_>,
        from: usize,
        letter: Letter,
        chance: &mut Chance,
    ) -> Wishes {
        let mut wishes = Wishes::default();
        match letter {
            Letter::Raft { group, from: sender, to, message } => {
                if let Some(replica) = self.replicas.get_mut(&(group, to)).filter(|replica| replica.running) {
                    let mut out = Vec::new();
                    replica.receive((sender, from), message, at.now, chance, &mut out);
                    post((group, to), out, &mut wishes);
                }
            }
            Letter::Transfer(Transfer::Pull { since, from: source, to, freeze }) => {
                self.give(from, (since, source, to), freeze, &mut wishes);
            }
            Letter::Transfer(Transfer::Piece { since, to, position, rows, fence }) => {
                self.take_in(at, (since, to), position, rows, fence);
            }
        }
        wishes
    }
}

/// Puts a replica's messages into envelopes.
pub fn post((group, from): (GroupId, ReplicaId), out: Vec<Outgoing>, wishes: &mut Wishes) {
    let letters =
        out.into_iter().map(|(to, node, message)| (node, Letter::Raft { group, from, to, message }));
    wishes.letters.extend(letters);
}

/// Whether a group has a slot, as the map says.
pub fn holds(group: &GroupDescriptor, slot: u16) -> bool {
    Slot::try_from(slot).is_ok_and(|slot| group.holds(slot))
}
