//! The life of a replica: what the real planner says is next, done to the model.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{GroupDescriptor, GroupId, ReplicaId, ReplicaState};
use holdfast_registry_state::MapChange;
use holdfast_shard_node::groups::plan::{Change, Own, RaftFacts, Step, next_step};

use super::{Node, Surroundings, Wishes, post};
use crate::{
    base::node_of,
    chance::Chance,
    raft::{Config, Payload, Replica},
    registry::Call,
};

impl Node {
    pub(super) fn step(
        &mut self,
        at: &Surroundings<'_>,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        chance: &mut Chance,
        wishes: &mut Wishes,
    ) {
        let key = (descriptor.group, own);
        let state = descriptor.replica(own).map(|replica| replica.state);
        let floor = at.floors.get(&own).copied().unwrap_or_default();
        let behind = self.replicas.get(&key).map(Replica::held).unwrap_or_default() < floor;
        let trusted = if self.replicas.contains_key(&key) {
            at.rules.old_disk_votes
        } else {
            at.rules.wiped_voter_votes
        };
        // Its peers say that it had more.
        let rolled_back = behind
            && !trusted
            && state != Some(ReplicaState::Founding)
            && !self.replicas.get(&key).is_some_and(|replica| replica.running);
        if rolled_back {
            // It takes no part, not even until it is out.
            if state != Some(ReplicaState::Leaving) {
                wishes.calls.push(Call::Report(MapChange::Lost { group: key.0, replica: own }));
            }
            return;
        }
        let mut facts = facts(self.replicas.get(&key), at.now);
        if at.rules.pending_is_done {
            facts.change = Change::Done;
        }
        let mut step = next_step(own, descriptor, &facts);
        if at.rules.wiped_voter_votes && step == Step::ReportLost {
            step = Step::Join;
        }
        self.take(at, key, step, chance, wishes);
    }

    fn take(
        &mut self,
        at: &Surroundings<'_>,
        key: (GroupId, ReplicaId),
        step: Step,
        chance: &mut Chance,
        wishes: &mut Wishes,
    ) {
        let (group, own) = key;
        let report = |change| Call::Report(change);
        match step {
            Step::Rest => {}
            Step::Found => {
                let replica = self.replicas.entry(key).or_insert_with(|| Replica::founder(group, own, at.me));
                if !replica.running {
                    replica.start(at.now, chance);
                }
                wishes.calls.push(Call::Found(group, own, chance.happens(800)));
            }
            Step::Join => {
                if at.rules.wiped_voter_votes
                    || at.registry.newest(group, at.me).is_some_and(|(_, open)| open)
                {
                    let replica = self.replicas.entry(key).or_insert_with(|| Replica::new(group, own));
                    replica.start(at.now, chance);
                }
            }
            Step::Resume => {
                if let Some(replica) = self.replicas.get_mut(&key) {
                    replica.start(at.now, chance);
                }
            }
            Step::ReportLost => wishes.calls.push(report(MapChange::Lost { group, replica: own })),
            Step::ReportPromoted(replica) => {
                wishes.calls.push(report(MapChange::Promoted { group, by: own, replica }));
            }
            Step::ReportRemoved(replica) => {
                wishes.calls.push(report(MapChange::Removed { group, by: own, replica }));
            }
            Step::FinishChange => {}
            Step::Admit(id) => self.admit(at, key, id, wishes),
            Step::Promote(id) => self.reconfigure(key, |config| {
                if let Some(node) = config.learners.remove(&id) {
                    config.voters.insert(id, node);
                }
            }),
            Step::Remove(id) => self.reconfigure(key, |config| {
                config.voters.remove(&id);
                config.learners.remove(&id);
            }),
            Step::TransferLead(to) => {
                let mut out = Vec::new();
                if let Some(replica) = self.replicas.get(&key) {
                    replica.transfer(to, &mut out);
                }
                post(key, out, wishes);
            }
        }
    }

    /// The key first, then membership.
    fn admit(
        &mut self,
        at: &Surroundings<'_>,
        key: (GroupId, ReplicaId),
        id: ReplicaId,
        wishes: &mut Wishes,
    ) {
        let Some(view) = &self.view else { return };
        let of = view.map.group(key.0).and_then(|group| group.replica(id));
        let Some(node) = of.and_then(|replica| node_of(replica.node)) else { return };
        if at.registry.newest(key.0, node).is_none_or(|(_, open)| !open) {
            return wishes.calls.push(Call::Wrap(key.0, node));
        }
        self.reconfigure(key, |config| {
            config.learners.insert(id, node);
        });
    }

    fn reconfigure(&mut self, key: (GroupId, ReplicaId), change: impl FnOnce(&mut Config)) {
        if let Some(replica) = self.replicas.get_mut(&key) {
            let mut config = replica.config();
            change(&mut config);
            replica.propose(Payload::Config(config));
        }
    }
}

fn facts(replica: Option<&Replica>, now: u64) -> RaftFacts {
    let Some(replica) = replica else {
        return RaftFacts {
            own: Own::Absent,
            voters: BTreeSet::new(),
            learners: BTreeSet::new(),
            change: Change::Done,
            last_log: 0,
            matched: BTreeMap::new(),
            reachable: BTreeSet::new(),
            complete: BTreeSet::new(),
            put_off: BTreeSet::new(),
        };
    };
    let Config { voters, learners } = replica.config();
    let own = match (replica.running, replica.leads_surely()) {
        (false, _) => Own::Stopped,
        (true, true) => Own::Leads,
        (true, false) => Own::Follows,
    };
    RaftFacts {
        own,
        complete: voters.keys().chain(learners.keys()).copied().collect(),
        voters: voters.into_keys().collect(),
        learners: learners.into_keys().collect(),
        change: if replica.config_is_committed() { Change::Done } else { Change::Pending },
        last_log: replica.log.len() as u64,
        matched: replica.matched(),
        reachable: replica.reachable(now),
        put_off: BTreeSet::new(),
    }
}
