//! Rotation after a replica left: the group's leader makes a new generation, wraps it to all that stay, and seals the slot keyrings
//! under it. Only then do the wraps of older generations go: with them goes what whoever left could still open.

use std::collections::BTreeMap;

use holdfast_domain::{GroupId, KeyGeneration, KeySubject, NodeId, Reason, ReplicaId, SpiffeSubject};

use crate::{outcome::Applied, state::State, wraps::Recipient};

impl State {
    /// The replica `by` leads a group whose slot keyrings are sealed under this generation.
    pub(crate) fn rotated(
        &mut self,
        asker: &SpiffeSubject,
        group: GroupId,
        by: ReplicaId,
        generation: KeyGeneration,
    ) -> Result<Applied, Reason> {
        self.check_speaker(asker, group, by)?;
        let subject = KeySubject::Dmk(group);
        if self.generation(subject) != Some(generation) {
            return Err(Reason::Conflict);
        }
        let descriptor = self.map.as_ref().and_then(|(_, map)| map.group(group)).ok_or(Reason::NotFound)?;
        // A newcomer gets the key when it is let in, which waits for this.
        let keepers = descriptor.voters().map(|replica| Recipient::Node(replica.node));
        let mut ways = keepers.chain(std::iter::once(Recipient::Recovery));
        let all_have_it = ways.all(|recipient| self.has_wrap(subject, generation, recipient));
        drop(ways);
        if !all_have_it {
            return Err(Reason::WrapMismatch);
        }
        let older = self.destroy_wraps_below(subject, generation);
        if self.shards.rotations.get(&group).is_some_and(|above| generation > *above) {
            self.shards.rotations.remove(&group);
        }
        if older > 0 {
            self.record(format!(
                "{older} wraps of group {group} below generation {generation} are destroyed"
            ));
        }
        Ok(Applied::Done)
    }

    /// Groups of a node whose key is to be replaced by a generation above the given one.
    pub fn rotations_for(&self, node: NodeId) -> BTreeMap<GroupId, KeyGeneration> {
        let here = |group: &GroupId| {
            self.map
                .as_ref()
                .and_then(|(_, map)| map.group(*group))
                .is_some_and(|group| group.on(node).is_some())
        };
        let rotations = self.shards.rotations.iter().filter(|(group, _)| here(group));
        rotations.map(|(group, generation)| (*group, *generation)).collect()
    }

    /// Whether a group's key is to be replaced.
    pub fn is_rotating(&self, group: GroupId) -> bool {
        self.shards.rotations.contains_key(&group)
    }
}
