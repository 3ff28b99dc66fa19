//! What goes wrong: processes, disks, the network, the registry.

use std::collections::BTreeMap;

use holdfast_domain::{GroupDescriptor, GroupId, ReplicaId};

use super::{Event, World};
use crate::{
    base::{NODES, node_of},
    network::REGISTRY,
    raft::{Config, Replica},
};

/// Part of a sequence of faults, each of which the group survives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Blow {
    /// The process dies.
    Crash(usize),
    /// And its disk with it.
    Wipe(usize),
    /// And its disk is put back to its image.
    PutBack(usize),
}

impl World {
    pub(super) fn trouble(&mut self) {
        let node = self.chance.below(NODES as u64) as usize;
        let down = if self.chance.happens(150) {
            self.chance.between(20_000, 45_000)
        } else {
            self.chance.between(300, 9_000)
        };
        match self.chance.below(100) {
            0..20 if self.nodes[node].up => self.crash(node, down),
            20..26 => self.strike(Blow::Wipe(node)),
            26..32 => drop(self.images.insert(node, self.nodes[node].replicas.clone())),
            32..38 => self.strike(Blow::PutBack(node)),
            38..44 => self.one_after_the_other(),
            44..48 => self.halves(),
            48..58 => self.cut(node),
            58..62 => self.registry.down_until = self.now + self.chance.between(1_000, 12_000),
            62..65 => self.registry.new_leader(self.now),
            65..66 if self.dead.is_empty() && self.can_lose(node) => {
                self.crash(node, down);
                self.dead.insert(node);
            }
            _ if self.registry.down_until <= self.now => self.operate(node),
            _ => {}
        }
    }

    /// Disks are lost only where all groups can do without.
    pub(super) fn strike(&mut self, blow: Blow) {
        let (Blow::Crash(node) | Blow::Wipe(node) | Blow::PutBack(node)) = blow;
        let disk = !matches!(blow, Blow::Crash(_));
        if !self.nodes[node].up || (disk && !self.can_lose(node)) {
            return;
        }
        let image = match blow {
            Blow::Crash(_) => None,
            Blow::Wipe(_) => Some(BTreeMap::new()),
            Blow::PutBack(_) => match self.images.remove(&node) {
                Some(image) => Some(image),
                None => return,
            },
        };
        let down = if disk { self.chance.between(50, 3_000) } else { self.chance.between(1_000, 8_000) };
        self.crash(node, down);
        if let Some(image) = image {
            self.nodes[node].replicas = image;
            self.nodes[node].replicas.values_mut().for_each(Replica::crash);
        }
    }

    /// One follower is behind, another loses its disk, and then the leader dies: what was acknowledged is on one disk only that votes.
    fn one_after_the_other(&mut self) {
        let leaders = self.nodes.iter().enumerate().flat_map(|(place, node)| {
            let leading = node.replicas.values().filter(|replica| replica.leads_surely());
            leading.map(move |replica| (place, replica.config()))
        });
        let leaders: Vec<_> = leaders.collect();
        let Some((leader, config)) = self.chance.pick(&leaders).cloned() else { return };
        let others: Vec<_> = config.voters.into_values().filter(|node| *node != leader).collect();
        let Some(behind) = self.chance.pick(&others).copied() else { return };
        let Some(second) = others.iter().copied().find(|node| *node != behind) else { return };
        let cut = self.chance.between(1_000, 3_000);
        for other in 0..NODES {
            self.network.cut(behind, other, self.now + cut);
            self.network.cut(other, behind, self.now + cut);
        }
        let disk = if self.chance.happens(500) {
            Blow::Wipe(second)
        } else {
            self.images.insert(second, self.nodes[second].replicas.clone());
            Blow::PutBack(second)
        };
        self.after(cut - 500, Event::Blow(disk));
        self.after(cut - 100, Event::Blow(Blow::Crash(leader)));
    }

    /// Two parts of the cluster lose each other.
    fn halves(&mut self) {
        let until = self.now + self.chance.between(1_000, 6_000);
        let side: Vec<bool> = (0..NODES).map(|_| self.chance.happens(500)).collect();
        for (from, to) in (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to))) {
            if side[from] != side[to] {
                self.network.cut(from, to, until);
            }
        }
    }

    fn cut(&mut self, node: usize) {
        let until = self.now + self.chance.between(500, 8_000);
        let one_way = self.chance.happens(300);
        let other = self.chance.below(NODES as u64 + 3) as usize;
        // All others, the registry, or one of them.
        let others: Vec<usize> = match other.checked_sub(NODES) {
            None => vec![other],
            Some(0) => vec![REGISTRY],
            Some(_) => (0..NODES).collect(),
        };
        for other in others {
            self.network.cut(node, other, until);
            if !one_way {
                self.network.cut(other, node, until);
            }
        }
    }

    fn crash(&mut self, node: usize, down_ms: u64) {
        self.nodes[node].up = false;
        self.nodes[node].replicas.values_mut().for_each(Replica::crash);
        for replica in self.nodes[node].replicas.values() {
            self.leading.remove(&replica.id);
            self.commits.remove(&replica.id);
        }
        if let Some(view) = &mut self.nodes[node].view {
            // Only the map is on disk.
            view.drops.clear();
            view.rotations.clear();
        }
        self.after(down_ms, Event::Restart(node));
    }

    /// Whether every group keeps a majority of intact logs without this node's disk.
    fn can_lose(&self, lost: usize) -> bool {
        let intact = |group: GroupId, id: ReplicaId, node: usize| {
            let replica = self.nodes[node].replicas.get(&(group, id));
            let floor = self.floors.get(&id).copied().unwrap_or_default();
            node != lost
                && !self.dead.contains(&node)
                && replica.is_some_and(|replica| replica.held() >= floor)
        };
        let enough = |group: GroupId, config: &Config| {
            let voters = config.voters.iter().filter(|(id, node)| intact(group, **id, **node)).count();
            // A lone voter that gives a vote to a newcomer needs it from then on, and may not know yet that its disk is gone.
            let promised = config.voters.len() == 1 && config.learners.values().any(|node| *node == lost);
            voters * 2 > config.voters.len() && !promised
        };
        // Who is to leave is taken out by a leader that may not know yet that another one's disk is gone.
        let groups = self.registry.state.map().into_iter().flat_map(|(_, map)| &map.groups);
        let mut shrinking = groups.filter(|group| !group.is_settled() && group.voters().next().is_some());
        let rest = |group: &GroupDescriptor| Config {
            voters: group.voters().filter_map(|voter| Some((voter.replica, node_of(voter.node)?))).collect(),
            learners: BTreeMap::new(),
        };
        if !shrinking.all(|group| enough(group.group, &rest(group))) {
            return false;
        }
        let replicas = self.nodes.iter().flat_map(|node| node.replicas.values());
        let alive: Vec<&Replica> = replicas.filter(|replica| !replica.log.is_empty()).collect();
        alive.into_iter().all(|replica| {
            let (len, committed) = self.oracle.known(replica);
            let old = replica.log.len() < len;
            committed.is_none_or(|config| enough(replica.group, config))
                && (old
                    || replica
                        .configs()
                        .skip(replica.configs().count().saturating_sub(2))
                        .all(|config| enough(replica.group, config)))
        })
    }
}
