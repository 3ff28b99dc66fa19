//! What must hold, seen from outside with everything known at once.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{GroupId, ReplicaId};

use crate::{
    machine::{Command, Machine},
    raft::{Config, Entry, Payload, Replica},
};

/// A group, and the replica that founded it: one that was never in use may be founded again.
type History = (GroupId, ReplicaId);

fn history(replica: &Replica) -> History {
    let founder = match replica.log.first().map(|entry| &entry.payload) {
        Some(Payload::Config(config)) => config.voters.keys().next().copied(),
        _ => None,
    };
    (replica.group, founder.unwrap_or(replica.id))
}

/// The committed history of every group, and what clients were told.
#[derive(Debug, Default)]
pub struct Oracle {
    committed: BTreeMap<History, (Vec<Entry>, Machine)>,
    /// Acknowledged writes of each slot.
    pub acknowledged: BTreeMap<u16, Vec<u64>>,
}

impl Oracle {
    /// A replica says that so much of its log is committed. Invariants: committed entries never differ, one group serves a slot, and
    /// whoever serves it has every acknowledged write of it.
    pub fn committed(&mut self, replica: &Replica) -> Result<(), String> {
        let (log, machine) = self.committed.entry(history(replica)).or_default();
        let known = log.len().min(replica.commit);
        if let Some(at) = (0..known).rev().take(8).find(|at| log[*at] != replica.log[*at]) {
            return Err(format!(
                "invariant_one_history: entry {at} of group {} was committed twice",
                replica.group
            ));
        }
        if replica.commit <= log.len() {
            return Ok(());
        }
        let before = log.len();
        if before > 0 && log[before - 1] != replica.log[before - 1] {
            return Err(format!(
                "invariant_one_history: group {} went on from another entry {before}",
                replica.group
            ));
        }
        let (mut touched, mut writes) = (BTreeSet::new(), Vec::new());
        for entry in &replica.log[before..replica.commit] {
            log.push(entry.clone());
            let Payload::Command(command) = &entry.payload else { continue };
            let done = machine.apply(command);
            match command {
                Command::Write(slot, id) if done => {
                    writes.push((*slot, *id));
                    touched.insert(*slot);
                }
                Command::Write(..) => {}
                _ => touched.extend(machine.slots.keys().copied()),
            }
        }
        for (slot, id) in writes {
            self.acknowledged.entry(slot).or_default().push(id);
        }
        touched.into_iter().try_for_each(|slot| self.check(slot))
    }

    fn check(&self, slot: u16) -> Result<(), String> {
        let mut serving = self.committed.iter().filter(|(_, (_, machine))| machine.serves(slot));
        let Some(((group, _), (_, machine))) = serving.next() else { return Ok(()) };
        if let Some(((other, _), _)) = serving.next() {
            return Err(format!("invariant_one_owner: groups {group} and {other} both serve slot {slot}"));
        }
        let rows = machine.slots.get(&slot).map_or(&[][..], |(_, rows)| rows);
        let acknowledged = self.acknowledged.get(&slot).map_or(&[][..], Vec::as_slice);
        if rows == acknowledged {
            return Ok(());
        }
        let lost = acknowledged.iter().filter(|id| !rows.contains(id)).count();
        Err(format!(
            "invariant_nothing_lost: {lost} acknowledged writes of slot {slot} are not in group {group}"
        ))
    }

    /// A leader has every committed entry.
    pub fn leads(&self, replica: &Replica) -> Result<(), String> {
        let Some((log, _)) = self.committed.get(&history(replica)) else { return Ok(()) };
        let last = log.len().saturating_sub(1);
        if log.is_empty() || replica.log.get(last) == log.last() {
            return Ok(());
        }
        Err(format!(
            "invariant_leader_is_complete: replica {} of group {} leads without committed entries",
            replica.id, replica.group
        ))
    }

    /// How much of a replica's group is committed, and the newest membership in it.
    pub fn known(&self, replica: &Replica) -> (usize, Option<&Config>) {
        let Some((log, _)) = self.committed.get(&history(replica)) else { return (0, None) };
        let config = log.iter().rev().find_map(|entry| match &entry.payload {
            Payload::Config(config) => Some(config),
            _ => None,
        });
        (log.len(), config)
    }

    /// Who serves a slot.
    pub fn owner(&self, slot: u16) -> Option<GroupId> {
        self.committed.iter().find(|(_, (_, machine))| machine.serves(slot)).map(|((group, _), _)| *group)
    }

    /// What each group says of a slot, for whoever looks for the reason.
    pub fn shown(&self, slot: u16) -> String {
        let known = self
            .committed
            .iter()
            .filter(|(_, (_, machine))| machine.slots.contains_key(&slot) || !machine.incoming.is_empty());
        let one = known.map(|((group, _), (_, machine))| {
            let (outgoing, incoming) =
                (machine.outgoing.keys(), machine.incoming.iter().map(|(since, of)| (since, of.phase)));
            let (outgoing, incoming): (Vec<_>, Vec<_>) = (outgoing.collect(), incoming.collect());
            format!(
                "group {group}: {:?}, moves {outgoing:?} away and {incoming:?} to it",
                machine.status(slot)
            )
        });
        one.collect::<Vec<_>>().join("; ")
    }
}
