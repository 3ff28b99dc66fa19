//! Which replica of a group is asked next. Pure; the map, what others learned and randomness come in.
//!
//! A round asks each replica at most once, whatever they say of each other: it ends, and the caller pauses between two rounds.

use std::collections::BTreeSet;

use holdfast_domain::{GroupId, NodeId};

use crate::map::Replica;

/// One operation's way through the replicas of a group.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    group: Option<GroupId>,
    /// Who was of no use in this round.
    asked: BTreeSet<NodeId>,
    /// Who leads, as somebody said in this round.
    hinted: Option<NodeId>,
    /// Where a round begins when nobody is known to lead.
    begin: usize,
}

/// What a round has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody who was not asked.
    Somebody,
    /// Nobody: the next round begins.
    Nobody,
}

impl Turns {
    /// Rounds that begin at `begin`, and not with the first.
    pub(crate) fn beginning_at(begin: usize) -> Self {
        Self { begin, ..Self::default() }
    }

    /// The next one to ask: who was named as the leader, then `known`, who led the last time, then one after the other.
    pub(crate) fn next<'a>(
        &mut self,
        group: GroupId,
        replicas: &'a [Replica],
        known: Option<NodeId>,
    ) -> Option<&'a Replica> {
        if self.group != Some(group) {
            *self = Self { group: Some(group), begin: self.begin, ..Self::default() };
        }
        let fresh = |replica: &&Replica| !self.asked.contains(&replica.node);
        let of =
            |node: Option<NodeId>| replicas.iter().find(|replica| Some(replica.node) == node).filter(fresh);
        let begin = self.begin.checked_rem(replicas.len()).unwrap_or(0);
        let mut in_turn = replicas.iter().cycle().skip(begin).take(replicas.len());
        of(self.hinted).or_else(|| of(known)).or_else(|| in_turn.find(fresh)).or_else(|| replicas.first())
    }

    /// One was of no use.
    pub(crate) fn of_no_use(&mut self, node: NodeId, replicas: &[Replica]) -> Left {
        self.asked.insert(node);
        if replicas.iter().any(|replica| !self.asked.contains(&replica.node)) {
            return Left::Somebody;
        }
        self.asked.clear();
        self.hinted = None;
        Left::Nobody
    }

    /// `node` says that `leader` leads. Somebody who was asked in vain in this round is not asked again for that.
    pub(crate) fn hint(&mut self, node: NodeId, leader: NodeId, replicas: &[Replica]) -> Left {
        if !self.asked.contains(&leader) {
            self.hinted = Some(leader);
        }
        self.of_no_use(node, replicas)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: GroupId = GroupId(1);

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 16])
    }

    fn replicas(count: u8) -> Vec<Replica> {
        (0..count).map(|number| Replica { node: node(number), address: format!("n{number}:1") }).collect()
    }

    fn asked(turns: &mut Turns, replicas: &[Replica], known: Option<NodeId>) -> NodeId {
        turns.next(GROUP, replicas, known).unwrap().node
    }

    #[test]
    fn the_leader_of_the_last_time_comes_first_and_then_the_others() {
        let (all, mut turns) = (replicas(3), Turns::default());
        let known = Some(node(2));
        assert_eq!(asked(&mut turns, &all, known), node(2));
        assert_eq!(turns.of_no_use(node(2), &all), Left::Somebody);
        assert_eq!(asked(&mut turns, &all, known), node(0));
        assert_eq!(turns.of_no_use(node(0), &all), Left::Somebody);
        assert_eq!(asked(&mut turns, &all, known), node(1));
        assert_eq!(turns.of_no_use(node(1), &all), Left::Nobody);
        assert_eq!(asked(&mut turns, &all, known), node(2), "a new round");
    }

    #[test]
    fn a_hint_is_followed_unless_it_leads_to_the_dead() {
        let (all, mut turns) = (replicas(3), Turns::default());
        assert_eq!(asked(&mut turns, &all, Some(node(1))), node(1));
        turns.of_no_use(node(1), &all);
        assert_eq!(turns.hint(node(0), node(1), &all), Left::Somebody);
        assert_eq!(asked(&mut turns, &all, None), node(2), "the dead one is not asked again");
        let mut turns = Turns::default();
        assert_eq!(asked(&mut turns, &all, Some(node(0))), node(0));
        turns.hint(node(0), node(2), &all);
        assert_eq!(asked(&mut turns, &all, Some(node(0))), node(2));
    }

    #[test]
    fn a_hint_to_somebody_whom_the_map_does_not_know_changes_nothing() {
        let (all, mut turns) = (replicas(2), Turns::default());
        assert_eq!(asked(&mut turns, &all, None), node(0));
        assert_eq!(turns.hint(node(0), node(9), &all), Left::Somebody);
        assert_eq!(asked(&mut turns, &all, None), node(1));
    }

    #[test]
    fn another_group_begins_anew() {
        let (all, mut turns) = (replicas(2), Turns::default());
        turns.of_no_use(node(0), &all);
        assert_eq!(turns.next(GroupId(2), &all, None).unwrap().node, node(0));
    }

    proptest! {
        #[test]
        fn invariant_a_round_asks_nobody_twice_and_everybody_once(
            count in 1u8..6,
            begin: usize,
            known in prop::option::of(0u8..7),
            hints in prop::collection::vec(prop::option::of(0u8..7), 1..40),
        ) {
            let (all, mut turns) = (replicas(count), Turns::beginning_at(begin));
            let mut round = BTreeSet::new();
            for hint in hints {
                let now = asked(&mut turns, &all, known.map(node));
                prop_assert!(round.insert(now), "asked twice in one round");
                let left = match hint {
                    Some(leader) => turns.hint(now, node(leader), &all),
                    None => turns.of_no_use(now, &all),
                };
                if left == Left::Nobody {
                    prop_assert_eq!(round.len(), all.len());
                    round.clear();
                }
            }
        }
    }
}
