use holdfast_domain::{GroupId, NodeId, ShardEpoch};
use proptest::prelude::*;

use super::*;

fn replica(id: u64, state: ReplicaState) -> ReplicaDescriptor {
    let node = NodeId::new([u8::try_from(id).unwrap(); 16]);
    ReplicaDescriptor { replica: ReplicaId(id), node, address: "a:1".into(), state }
}

fn ids(of: &[u64]) -> BTreeSet<ReplicaId> {
    of.iter().copied().map(ReplicaId).collect()
}

/// The registry's rules, a group, and who of it is up.
#[derive(Debug, Clone)]
struct Model {
    map: GroupDescriptor,
    next_id: u64,
    replacing: BTreeMap<ReplicaId, ReplicaId>,
    voters: BTreeSet<ReplicaId>,
    learners: BTreeSet<ReplicaId>,
    change: Change,
    up: BTreeSet<ReplicaId>,
    leader: Option<ReplicaId>,
}

impl Model {
    /// A group as the registry creates it.
    fn new(replicas: u64) -> Self {
        let state = |id| if id == 1 { ReplicaState::Founding } else { ReplicaState::Learner };
        let replicas: Vec<_> = (1..=replicas).map(|id| replica(id, state(id))).collect();
        let up = replicas.iter().map(|of| of.replica).collect();
        let next_id = u64::try_from(replicas.len()).unwrap() + 1;
        let map = GroupDescriptor { group: GroupId(1), epoch: ShardEpoch(1), slots: vec![], replicas };
        let (voters, learners) = Default::default();
        let replacing = BTreeMap::new();
        Self { map, next_id, replacing, voters, learners, change: Change::Done, up, leader: None }
    }

    fn state(&mut self, id: ReplicaId) -> Option<&mut ReplicaState> {
        self.map.replicas.iter_mut().find(|of| of.replica == id).map(|of| &mut of.state)
    }

    fn with(&self, state: ReplicaState) -> Vec<ReplicaId> {
        self.map.replicas.iter().filter(|of| of.state == state).map(|of| of.replica).collect()
    }

    fn has_quorum(&self, voters: &BTreeSet<ReplicaId>) -> bool {
        voters.intersection(&self.up).count() > voters.len() / 2
    }

    fn facts(&self, own: Own) -> RaftFacts {
        let members: BTreeSet<_> = self.voters.union(&self.learners).copied().collect();
        RaftFacts {
            own,
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            change: self.change,
            last_log: 9,
            matched: members.iter().filter(|id| self.up.contains(id)).map(|id| (*id, 9)).collect(),
            reachable: self.up.clone(),
            complete: self.up.clone(),
            put_off: BTreeSet::new(),
        }
    }

    /// Whoever can win an election does.
    fn elect(&mut self, choice: usize) {
        let lost = self.leader.is_none_or(|leader| !self.up.contains(&leader));
        if lost && self.has_quorum(&self.voters) {
            let able: Vec<_> = self.voters.intersection(&self.up).copied().collect();
            self.leader = able.get(choice % able.len().max(1)).copied();
        } else if lost {
            self.leader = None;
        }
    }

    /// One step of who acts for the group; a report may get lost on its way, and a change may stop half done. Whether anything happened.
    fn step(&mut self, half: bool) -> bool {
        let Some(own) = self.leader.or_else(|| self.with(ReplicaState::Founding).first().copied()) else {
            return false;
        };
        if !self.up.contains(&own) || self.leader.is_some() && !self.has_quorum(&self.voters) {
            return false;
        }
        let facts = self.facts(if self.leader.is_some() { Own::Leads } else { Own::Absent });
        let step = next_step(own, &self.map, &facts);
        let by_voter = self.state(own).is_some_and(|state| *state != ReplicaState::Learner);
        match step {
            Step::Rest => return false,
            Step::Found => {
                self.voters = BTreeSet::from([own]);
                self.leader = Some(own);
                if !half {
                    *self.state(own).unwrap() = ReplicaState::Voter;
                }
            }
            Step::FinishChange => self.change = Change::Done,
            Step::Admit(id) => assert!(self.learners.insert(id)),
            Step::Promote(id) => {
                assert!(self.learners.remove(&id) && self.up.contains(&id));
                self.voters.insert(id);
                self.membership_changed(half);
            }
            Step::Remove(id) => {
                assert_ne!(id, own, "a leader does not vote itself out");
                assert_eq!(self.state(id).copied(), Some(ReplicaState::Leaving));
                self.voters.remove(&id);
                self.learners.remove(&id);
                self.membership_changed(half);
            }
            Step::TransferLead(id) => {
                assert!(self.voters.contains(&id) && self.up.contains(&id));
                self.leader = Some(id);
            }
            Step::ReportPromoted(id) => {
                assert!(by_voter);
                if !half {
                    *self.state(id).unwrap() = ReplicaState::Voter;
                    if let Some(replaced) = self.replacing.remove(&id) {
                        *self.state(replaced).unwrap() = ReplicaState::Leaving;
                    }
                }
            }
            Step::ReportRemoved(id) => {
                assert!(by_voter && !self.voters.contains(&id));
                if !half {
                    self.map.replicas.retain(|of| of.replica != id);
                }
            }
            Step::Join | Step::Resume | Step::ReportLost => panic!("{step:?} of a leader"),
        }
        true
    }

    fn membership_changed(&mut self, half: bool) {
        assert!(self.has_quorum(&self.voters), "a change that nobody can commit: {self:?}");
        self.change = if half { Change::Joint } else { Change::Done };
    }

    /// What the registry wants: one change a group at a time, never without a voter.
    fn ask(&mut self, choice: usize) {
        let voters = self.with(ReplicaState::Voter);
        let quiet = voters.len() == self.map.replicas.len();
        let Some(chosen) = voters.get(choice % voters.len().max(1)).copied() else { return };
        if quiet && choice.is_multiple_of(3) && voters.len() > 1 {
            *self.state(chosen).unwrap() = ReplicaState::Leaving;
        } else if quiet && voters.len() < 5 {
            let id = ReplicaId(self.next_id);
            self.next_id += 1;
            self.map.replicas.push(replica(id.0, ReplicaState::Learner));
            self.up.insert(id);
            if choice.is_multiple_of(2) {
                self.replacing.insert(id, chosen);
            }
        } else if choice.is_multiple_of(5)
            && let Some(given_up) = self.with(ReplicaState::Learner).pop()
        {
            *self.state(given_up).unwrap() = ReplicaState::Leaving;
            self.replacing.remove(&given_up);
        }
    }

    fn toggle(&mut self, choice: usize) {
        let all: Vec<_> = self.map.replicas.iter().map(|of| of.replica).collect();
        let Some(id) = all.get(choice % all.len()) else { return };
        if !self.up.remove(id) {
            self.up.insert(*id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn invariant_a_group_becomes_what_the_map_says_whatever_happened_on_the_way(
        replicas in 1..=5_u64,
        events in prop::collection::vec((0..5_u8, any::<u16>()), 0..120),
    ) {
        let mut model = Model::new(replicas);
        for (event, choice) in events {
            let choice = usize::from(choice);
            match event {
                0 => model.ask(choice),
                1 => model.toggle(choice),
                2 => model.leader = model.leader.filter(|_| choice.is_multiple_of(2)),
                3 => drop(model.step(true)),
                _ => drop(model.step(false)),
            }
            model.elect(choice);
            prop_assert!(!model.map.replicas.is_empty());
        }
        model.up = model.map.replicas.iter().map(|of| of.replica).collect();
        for round in 0..200 {
            model.elect(round);
            if !model.step(false) {
                break;
            }
        }
        let listed: BTreeSet<_> = model.with(ReplicaState::Voter).into_iter().collect();
        prop_assert_eq!(listed.len(), model.map.replicas.len(), "{:?}", model);
        prop_assert_eq!(&model.voters, &listed);
        prop_assert!(model.learners.is_empty() && model.change == Change::Done);
    }
}

fn facts(voters: &[u64], learners: &[u64], reachable: &[u64]) -> RaftFacts {
    RaftFacts {
        own: Own::Leads,
        voters: ids(voters),
        learners: ids(learners),
        change: Change::Done,
        last_log: 1000,
        matched: [2, 3, 4].map(|id| (ReplicaId(id), 1000)).into(),
        reachable: ids(reachable),
        complete: ids(reachable),
        put_off: BTreeSet::new(),
    }
}

fn group(states: &[ReplicaState]) -> GroupDescriptor {
    let replicas = (1..).zip(states).map(|(id, state)| replica(id, *state)).collect();
    GroupDescriptor { group: GroupId(1), epoch: ShardEpoch(1), slots: vec![], replicas }
}

use ReplicaState::{Learner, Leaving, Voter};

#[test]
fn a_replica_stays_while_the_group_needs_its_vote() {
    let map = group(&[Voter, Leaving, Voter]);
    assert_eq!(next_step(ReplicaId(1), &map, &facts(&[1, 2, 3], &[], &[1, 2])), Step::Rest);
    let all = facts(&[1, 2, 3], &[], &[1, 2, 3]);
    assert_eq!(next_step(ReplicaId(1), &map, &all), Step::Remove(ReplicaId(2)));
    let dead_leaves = facts(&[1, 2, 3], &[], &[1, 3]);
    assert_eq!(next_step(ReplicaId(1), &map, &dead_leaves), Step::Remove(ReplicaId(2)));
}

#[test]
fn a_learner_with_holes_or_behind_gets_no_vote() {
    let map = group(&[Voter, Learner]);
    let ready = facts(&[1], &[2], &[1, 2]);
    assert_eq!(next_step(ReplicaId(1), &map, &ready), Step::Promote(ReplicaId(2)));
    let holes = RaftFacts { complete: ids(&[1]), ..ready.clone() };
    assert_eq!(next_step(ReplicaId(1), &map, &holes), Step::Rest);
    let behind = RaftFacts { matched: BTreeMap::from([(ReplicaId(2), 1000 - MAX_LAG - 1)]), ..ready };
    assert_eq!(next_step(ReplicaId(1), &map, &behind), Step::Rest);
}

#[test]
fn a_learner_whose_machine_is_refused_does_not_keep_others_out() {
    let map = group(&[Voter, Learner, Learner]);
    let raft = RaftFacts { put_off: ids(&[2]), ..facts(&[1], &[], &[1]) };
    assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::Admit(ReplicaId(3)));
    let raft = RaftFacts { put_off: ids(&[2]), ..facts(&[1], &[3], &[1, 3]) };
    assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::Promote(ReplicaId(3)));
    let raft = RaftFacts { put_off: ids(&[2]), ..facts(&[1, 3], &[], &[1, 3]) };
    assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::ReportPromoted(ReplicaId(3)));
}

#[test]
fn who_leaves_or_is_not_known_as_a_voter_does_not_lead() {
    let raft = facts(&[1, 2, 3], &[], &[1, 2, 3]);
    for state in [Leaving, Learner] {
        let map = group(&[state, Leaving, Voter]);
        assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::TransferLead(ReplicaId(3)));
    }
    let alone = facts(&[1, 2, 3], &[], &[1, 2]);
    assert_eq!(next_step(ReplicaId(1), &group(&[Leaving, Leaving, Voter]), &alone), Step::Rest);
}

#[test]
fn a_disk_without_the_log_of_a_voter_does_not_start_under_its_id() {
    let absent = |state| {
        let raft = RaftFacts { own: Own::Absent, ..facts(&[], &[], &[]) };
        next_step(ReplicaId(1), &group(&[state, Voter]), &raft)
    };
    assert_eq!(absent(Voter), Step::ReportLost);
    assert_eq!(absent(Learner), Step::Join);
    assert_eq!(absent(Leaving), Step::Rest);
    assert_eq!(absent(ReplicaState::Founding), Step::Found);
}

#[test]
fn a_member_that_the_map_has_forgotten_is_taken_out() {
    let mut map = group(&[Voter, Voter, Voter]);
    map.replicas[1] = replica(9, Voter);
    let raft = facts(&[1, 2, 3, 9], &[], &[1, 3, 9]);
    assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::Remove(ReplicaId(2)));
}

#[test]
fn who_leaves_stays_while_it_answers_and_the_others_lack_chunks() {
    let map = group(&[Voter, Leaving, Voter]);
    let raft = RaftFacts { complete: ids(&[1, 2]), ..facts(&[1, 2, 3], &[], &[1, 2, 3]) };
    assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::Rest);
}

#[test]
fn a_member_that_the_map_may_list_later_is_left_alone() {
    let raft = facts(&[1, 2, 3, 4], &[], &[1, 2, 3, 4]);
    assert_eq!(next_step(ReplicaId(1), &group(&[Voter, Voter, Voter]), &raft), Step::Rest);
}

#[test]
fn a_member_that_the_map_listed_once_is_taken_out() {
    let mut map = group(&[Voter, Voter, Voter, Voter]);
    map.replicas.remove(1);
    let raft = facts(&[1, 3, 4], &[2], &[1, 2, 3, 4]);
    assert_eq!(next_step(ReplicaId(1), &map, &raft), Step::Remove(ReplicaId(2)));
}
