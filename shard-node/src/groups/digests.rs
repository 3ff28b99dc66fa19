//! Comparing the digests of all replicas at one place of the log. Each replica judges itself: one that a majority of the voters contradicts
//! is not to be believed, and knows so without trusting any one of them.

use std::{sync::Arc, time::Duration};

use holdfast_domain::{GroupDescriptor, ReplicaDescriptor, ReplicaId, Slot};
use holdfast_proto::node::v1::{DigestsReply, DigestsRequest};

use super::Runtime;
use crate::{
    machine::{Digests, Taken},
    partition::ShardGroup,
};

/// How often another replica is asked: it may be behind.
const TRIES: u32 = 20;
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// What a comparison says of a replica.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// A majority of the voters has the same.
    Agrees,
    /// A majority of the voters has one and the same other: these slots differ.
    Differs(Vec<Slot>),
    /// Too few answered, or they disagree among each other.
    Unclear,
}

/// Lets replicas compare their digests for ever, where this node leads.
pub async fn keep_comparing(runtime: Arc<Runtime>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        for shard in runtime.hosted.all() {
            if let Err(error) = shard.propose_comparison().await {
                tracing::info!(%error, group = %shard.id(), "digests are compared later");
            }
        }
    }
}

impl Runtime {
    /// Compares what was taken last, once.
    pub(super) async fn compare(&self, descriptor: &GroupDescriptor, own: ReplicaId, shard: &ShardGroup) {
        let Some(Taken { mark, digests }) = shard.state().taken() else { return };
        let group = descriptor.group;
        self.done(group, |done| done.compared = Some(mark));
        let others = descriptor.voters().filter(|voter| voter.replica != own);
        let asked = others.map(|voter| self.digests_of(descriptor, voter, mark));
        let answers: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        match verdict(&digests, &answers, descriptor.voters().count()) {
            Verdict::Agrees => tracing::debug!(%group, mark, "digests compared"),
            Verdict::Differs(slots) => {
                let first = slots.first().map(|slot| slot.number()).unwrap_or_default();
                let count = slots.len();
                shard.doubt.accuse(format!(
                    "{count} slots, {first} the first, differ from a majority of the replicas"
                ));
            }
            Verdict::Unclear => {
                tracing::info!(%group, mark, answers = answers.len(), "digests could not be compared");
            }
        }
    }

    async fn digests_of(
        &self,
        descriptor: &GroupDescriptor,
        voter: &ReplicaDescriptor,
        mark: u64,
    ) -> Option<Digests> {
        let mut peer = self.peer(voter).ok()?;
        for _ in 0..TRIES {
            match peer.digests(DigestsRequest { group: descriptor.group.0, mark }).await {
                Ok(reply) => return read(reply.get_ref()),
                Err(status) => {
                    tracing::debug!(node = %voter.node, %status, "no digests yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        None
    }
}

fn read(reply: &DigestsReply) -> Option<Digests> {
    let slot = |row: &holdfast_proto::node::v1::SlotDigest| {
        let slot = Slot::try_from(u16::try_from(row.slot).ok()?).ok()?;
        Some((slot, row.digest.as_ref().try_into().ok()?))
    };
    reply.slots.iter().map(slot).collect()
}

fn verdict(own: &Digests, others: &[Digests], voters: usize) -> Verdict {
    let majority = voters / 2;
    if others.iter().filter(|other| *other == own).count() + 1 > majority {
        return Verdict::Agrees;
    }
    let agreed = others.iter().find(|one| others.iter().filter(|other| other == one).count() > majority);
    let Some(agreed) = agreed else { return Verdict::Unclear };
    let slots = own.keys().chain(agreed.keys()).filter(|slot| own.get(slot) != agreed.get(slot));
    let mut slots: Vec<_> = slots.copied().collect();
    slots.sort_unstable();
    slots.dedup();
    Verdict::Differs(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(of: &[(u16, u8)]) -> Digests {
        of.iter().map(|(slot, byte)| (Slot::try_from(*slot).unwrap(), [*byte; 32])).collect()
    }

    #[test]
    fn a_replica_that_a_majority_contradicts_differs_and_nobody_else_does() {
        let (good, bad) = (digests(&[(1, 1), (2, 2)]), digests(&[(1, 1), (2, 9), (3, 1)]));
        let slots = [2, 3].map(|slot| Slot::try_from(slot).unwrap()).to_vec();
        assert_eq!(verdict(&bad, &[good.clone(), good.clone()], 3), Verdict::Differs(slots));
        assert_eq!(verdict(&good, &[good.clone(), bad.clone()], 3), Verdict::Agrees);
    }

    #[test]
    fn one_against_one_condemns_nobody() {
        let (one, other) = (digests(&[(1, 1)]), digests(&[(1, 2)]));
        assert_eq!(verdict(&one, std::slice::from_ref(&other), 2), Verdict::Unclear);
        assert_eq!(verdict(&one, std::slice::from_ref(&other), 3), Verdict::Unclear);
        assert_eq!(verdict(&one, &[digests(&[(1, 2)]), digests(&[(1, 3)])], 3), Verdict::Unclear);
    }
}
