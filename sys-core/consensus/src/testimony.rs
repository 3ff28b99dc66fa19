//! What peers told a replica that starts, and what follows from it.
//!
//! - It takes part when all other voters told and none remembers more than it holds; once it has waited, when those that told make a
//!   majority together with it.
//! - It is rolled back when a voter remembers more than it holds, and another bears that out: by remembering so too, or by a log of its own
//!   that reaches that far. Where there is no other voter, one is enough.
//! - In between it waits, for as long as one voter remembers more. So one that lies, with more than ever was, keeps it waiting and no longer than
//!   it lies; and one that is right alone, as it led when the others were away, keeps it from voting until the group has gone
//!   on without it and the others' logs reach that far. Believing neither would be worse: a majority that forgot what it acknowledged.
//!
//! A voter that lies within what the group has written since cannot be told from one that is right: the replica is replaced then, which costs
//! a copy and no data.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::ReplicaId;

use crate::Floor;

/// What one voter told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// What it remembers of who asks.
    pub(crate) acknowledged: Option<Floor>,
    /// How far it is itself.
    pub(crate) held: Floor,
}

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    Proven,
    RolledBack(Floor),
    /// One voter alone remembers this.
    Contested(Floor),
}

/// What voters told last.
#[derive(Default)]
pub(crate) struct Testimony {
    voters: BTreeSet<ReplicaId>,
    /// Leaders and candidates that are not known as voters yet.
    introduced: BTreeSet<ReplicaId>,
    told: BTreeMap<ReplicaId, Told>,
    is_contested: bool,
}

impl Testimony {
    /// Who counts. One that was asked when it voted and does not any more counts no longer.
    pub(crate) fn about(&mut self, voters: BTreeSet<ReplicaId>, introduced: BTreeSet<ReplicaId>) {
        (self.voters, self.introduced) = (voters, introduced);
    }

    /// Who is to be asked: those that are silent, and in doubt everybody again.
    pub(crate) fn to_ask(&self) -> Vec<ReplicaId> {
        let all = self.voters.union(&self.introduced).copied();
        all.filter(|id| self.is_contested || !self.told.contains_key(id)).collect()
    }

    pub(crate) fn hear(&mut self, told: impl IntoIterator<Item = (ReplicaId, Told)>) {
        self.told.extend(told);
    }

    /// What follows for a replica that holds so much; `late` once it has waited.
    pub(crate) fn verdict(&mut self, held: Floor, late: bool) -> Verdict {
        let counted: Vec<_> = self.told.iter().filter(|(id, _)| self.counts(**id)).collect();
        let more = |told: &Told| told.acknowledged.filter(|floor| *floor > held);
        let claims: Vec<_> = counted.iter().filter_map(|(id, told)| Some((**id, more(told)?))).collect();
        let verdict = match claims.iter().map(|(_, floor)| *floor).max() {
            Some(highest) => {
                let borne_out = claims.iter().find(|(by, floor)| {
                    let mut others = counted.iter().filter(|(id, _)| **id != *by);
                    let alone = self.voters.union(&self.introduced).all(|id| id == by);
                    alone || others.any(|(_, told)| more(told).is_some() || reaches(told.held, *floor))
                });
                borne_out.map_or(Verdict::Contested(highest), |(_, floor)| Verdict::RolledBack(*floor))
            }
            None if self.is_enough(counted.len(), late) => Verdict::Proven,
            None => Verdict::Open,
        };
        self.is_contested = matches!(verdict, Verdict::Contested(_));
        verdict
    }

    fn counts(&self, id: ReplicaId) -> bool {
        self.voters.contains(&id) || self.introduced.contains(&id)
    }

    fn is_enough(&self, counted: usize, late: bool) -> bool {
        let all = !self.voters.is_empty() && self.voters.iter().all(|id| self.told.contains_key(id));
        all || (late && counted >= self.voters.len().div_ceil(2).max(1))
    }
}

/// Whether a log is as long, and of a term as late: more than [`Floor`]'s order says, where a later term outweighs any index.
fn reaches(held: Floor, floor: Floor) -> bool {
    held.term >= floor.term && held.index >= floor.index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u64]) -> BTreeSet<ReplicaId> {
        ids.iter().copied().map(ReplicaId).collect()
    }

    fn at(term: u64, index: u64) -> Floor {
        Floor { term, index }
    }

    fn verdict(voters: &[u64], told: &[(u64, Option<Floor>, Floor)], late: bool) -> Verdict {
        let mut testimony = Testimony::default();
        testimony.about(set(voters), set(&[]));
        let told = told.iter();
        testimony.hear(told.map(|(id, acknowledged, held)| {
            (ReplicaId(*id), Told { acknowledged: *acknowledged, held: *held })
        }));
        testimony.verdict(at(3, 10), late)
    }

    #[test]
    fn invariant_only_voters_prove_a_replica() {
        let (two, four) = (set(&[2, 3]), set(&[2, 3, 4, 5]));
        for (voters, introduced, told, late, proven) in [
            (&two, &[][..], &[2, 3][..], false, true),
            (&two, &[], &[2], false, false),
            (&two, &[], &[2], true, true),
            // A learner, or one that voted once.
            (&two, &[], &[9], true, false),
            (&four, &[], &[2, 9], true, false),
            (&four, &[], &[2, 3], true, true),
            // Somebody that was elected since.
            (&two, &[9], &[9], true, true),
            (&set(&[]), &[9], &[9], true, true),
            (&set(&[]), &[], &[], true, false),
        ] {
            let mut testimony = Testimony::default();
            testimony.about(voters.clone(), set(introduced));
            let nothing = Told { acknowledged: None, held: Floor::default() };
            testimony.hear(set(told).into_iter().map(|id| (id, nothing)));
            let expected = if proven { Verdict::Proven } else { Verdict::Open };
            assert_eq!(
                testimony.verdict(Floor::default(), late),
                expected,
                "{voters:?} {introduced:?} {told:?} {late}"
            );
        }
    }

    #[test]
    fn invariant_one_voice_keeps_a_replica_out_and_does_not_condemn_it() {
        let lie = Some(at(3, u64::MAX));
        for late in [false, true] {
            assert_eq!(
                verdict(&[2, 3], &[(2, lie, at(3, 12)), (3, Some(at(3, 9)), at(3, 12))], late),
                Verdict::Contested(at(3, u64::MAX))
            );
            // The other is behind: who is right is not known yet.
            let (right, behind) = (Some(at(3, 12)), at(3, 8));
            assert_eq!(
                verdict(&[2, 3], &[(2, right, at(3, 12)), (3, None, behind)], late),
                Verdict::Contested(at(3, 12))
            );
            assert_eq!(verdict(&[2, 3], &[(2, right, at(3, 12))], late), Verdict::Contested(at(3, 12)));
        }
    }

    #[test]
    fn what_another_voter_bears_out_condemns() {
        let claim = Some(at(3, 12));
        for told in [
            // Its own log reaches that far.
            &[(2, claim, at(3, 12)), (3, None, at(4, 15))][..],
            // It remembers so too, if less.
            &[(2, claim, at(3, 12)), (3, Some(at(3, 11)), at(3, 9))],
            // It voted for a later term, with a log that is what it was.
            &[(2, Some(at(4, 0)), at(4, 11)), (3, None, at(4, 11))],
        ] {
            let verdict = verdict(&[2, 3], told, false);
            assert!(matches!(verdict, Verdict::RolledBack(floor) if floor > at(3, 10)), "{verdict:?}");
        }
        // Nobody else could.
        assert_eq!(verdict(&[2], &[(2, claim, at(3, 12))], false), Verdict::RolledBack(at(3, 12)));
        // A learner's word is nothing.
        assert_eq!(
            verdict(&[2, 3], &[(2, claim, at(3, 12)), (9, claim, at(9, 99))], true),
            Verdict::Contested(at(3, 12))
        );
    }

    #[test]
    fn in_doubt_everybody_is_asked_again_and_who_takes_it_back_lets_the_replica_in() {
        let mut testimony = Testimony::default();
        testimony.about(set(&[2, 3]), set(&[]));
        let told = |acknowledged| Told { acknowledged, held: at(3, 10) };
        testimony.hear([(ReplicaId(2), told(Some(at(3, 99)))), (ReplicaId(3), told(None))]);
        assert_eq!(testimony.verdict(at(3, 10), true), Verdict::Contested(at(3, 99)));
        assert_eq!(testimony.to_ask(), [ReplicaId(2), ReplicaId(3)]);
        testimony.hear([(ReplicaId(2), told(None))]);
        assert_eq!(testimony.verdict(at(3, 10), true), Verdict::Proven);
    }
}
