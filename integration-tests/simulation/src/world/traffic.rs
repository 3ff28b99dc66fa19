//! What nodes, the registry and clients say to each other.

use std::rc::Rc;

use holdfast_domain::ShardMap;

use super::{Event, World};
use crate::{
    base::{NODES, node_id, node_of},
    chance::Chance,
    machine::Command,
    network::REGISTRY,
    node::{Letter, Node, SLOTS, Surroundings, View, Wishes, holds, post},
    raft::{Message, Payload},
};

impl World {
    pub(super) fn act(
        &mut self,
        node: usize,
        what: impl FnOnce(&mut Node, &Surroundings<'_>, &mut Chance) -> Wishes,
    ) -> Result<(), String> {
        if !self.nodes[node].up {
            return Ok(());
        }
        let at = Surroundings {
            me: node,
            now: self.now,
            registry: &self.registry,
            floors: &self.floors,
            rules: self.rules,
        };
        let wishes = what(&mut self.nodes[node], &at, &mut self.chance);
        self.send(node, wishes);
        self.watch(node)
    }

    pub(super) fn timers(&mut self, node: usize) -> Result<(), String> {
        let now = self.now;
        self.act(node, |node, _, chance| {
            let mut wishes = Wishes::default();
            for (key, replica) in &mut node.replicas {
                let mut out = Vec::new();
                replica.tick(now, chance, &mut out);
                post(*key, out, &mut wishes);
            }
            wishes
        })
    }

    pub(super) fn send(&mut self, from: usize, wishes: Wishes) {
        let Wishes { calls, letters } = wishes;
        for call in calls {
            for at in self.network.arrivals((from, REGISTRY), self.now, &mut self.chance) {
                self.after(at - self.now, Event::Call { from, call: call.clone() });
            }
        }
        for (to, letter) in letters {
            self.note_acknowledgement(from, &letter);
            for at in self.network.arrivals((from, to), self.now, &mut self.chance) {
                self.after(at - self.now, Event::Letter { from, to, letter: letter.clone() });
            }
        }
    }

    /// What a replica acknowledges, or sends as its own, its peers remember: entries, and votes. Who forgot a vote for a later term would
    /// help an earlier one to commit what that later leader does not have.
    fn note_acknowledgement(&mut self, node: usize, letter: &Letter) {
        let Letter::Raft { group, from, message, .. } = letter else { return };
        let Some(own) = self.nodes[node].replicas.get(&(*group, *from)) else { return };
        let held = match message {
            Message::Appended { term, agrees: true, len } => (*term, *len),
            Message::Append { .. } => own.held(),
            Message::Vote { term } => (*term, 0),
            _ => return,
        };
        let known = self.floors.entry(*from).or_default();
        *known = held.max(*known);
    }

    /// Tells all nodes what there is, if it is news or time.
    pub(super) fn publish(&mut self, again: bool) {
        let index = self.registry.state.index();
        let Some((_, map)) = self.registry.state.map() else { return };
        if !again && self.published == map.epoch.0 {
            return;
        }
        self.published = map.epoch.0;
        let map = Rc::new(map.clone());
        for to in 0..NODES {
            let state = &self.registry.state;
            let id = node_id(to);
            let view = View {
                map: Rc::clone(&map),
                drops: state.drops_for(id).collect(),
                rotations: state.rotations_for(id),
            };
            for at in self.network.arrivals((REGISTRY, to), self.now, &mut self.chance) {
                self.after(at - self.now, Event::View { to, index, view: view.clone() });
            }
        }
    }

    /// A client writes to who it thinks leads.
    pub(super) fn write(&mut self) -> Result<(), String> {
        let slot = *self.chance.pick(&SLOTS).expect("slots");
        let stale = self.chance.happens(250);
        let node = self.chance.below(NODES as u64) as usize;
        let known = self.nodes[node].view.as_ref().filter(|_| stale).map(|view| Rc::clone(&view.map));
        let map: Rc<ShardMap> = match (known, self.registry.state.map()) {
            (Some(map), _) => map,
            (None, Some((_, map))) => Rc::new(map.clone()),
            (None, None) => return Ok(()),
        };
        let Some(group) = map.groups.iter().find(|group| holds(group, slot)) else { return Ok(()) };
        for replica in &group.replicas {
            let Some(node) = node_of(replica.node).filter(|node| self.nodes[*node].up) else { continue };
            let Some(own) = self.nodes[node].replicas.get_mut(&(group.group, replica.replica)) else {
                continue;
            };
            if own.leads() {
                self.writes += 1;
                own.propose(Payload::Command(Command::Write(slot, self.writes)));
                let mut out = Vec::new();
                own.replicate(&mut out);
                let mut wishes = Wishes::default();
                post((group.group, replica.replica), out, &mut wishes);
                self.send(node, wishes);
                return self.watch(node);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{GroupId, ReplicaId};

    use super::*;
    use crate::{raft::Replica, rules::Rules};

    #[test]
    fn a_disk_from_before_a_vote_is_older_than_its_word() {
        let mut world = World::new(1, Rules::SOUND);
        let key = (GroupId(9), ReplicaId(7));
        let mut voter = Replica::founder(key.0, key.1, 0);
        voter.start(0, &mut world.chance);
        let image = voter.clone();
        let ask = Message::Ask { term: 5, last: (4, 40), transfer: false };
        let mut out = Vec::new();
        voter.receive((ReplicaId(6), 1), ask, 0, &mut world.chance, &mut out);
        world.nodes[0].replicas.insert(key, voter.clone());
        let mut wishes = Wishes::default();
        post(key, out, &mut wishes);
        world.send(0, wishes);
        // Its log is what it was: only the vote tells.
        let floor = world.floors[&key.1];
        assert_eq!(image.log, voter.log);
        assert!(image.held() < floor && voter.held() >= floor, "{floor:?}");
    }
}
