//! Keys in wrapped form: who may wrap which key to whom.
//!
//! The registry's key: from a machine that has it, to a machine of the registry. A group's key: from a replica in charge of that group,
//! to a replica of it, present or incoming. Towards the officers a wrap is written once and never replaced.

use holdfast_domain::{
    GroupId, Kcv, KeyGeneration, KeySubject, NodeId, NodeRole, Reason, ReplicaState, Signed, WrapRow,
    WrapTarget,
};
use serde::{Deserialize, Serialize};

use crate::{limits, outcome::Applied, state::State, verify};

/// Who can open a wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Recipient {
    /// The officers together.
    Recovery,
    /// One machine.
    Node(NodeId),
}

impl State {
    /// Stores all rows or none.
    pub(crate) fn put_wraps(&mut self, rows: Vec<Signed<WrapRow>>) -> Result<Applied, Reason> {
        if rows.is_empty() || rows.len() > limits::MAX_WRAPS_A_COMMAND {
            return Err(Reason::Malformed);
        }
        if self.wraps.len().saturating_add(rows.len()) > limits::MAX_WRAPS {
            return Err(Reason::Overloaded);
        }
        let mut accepted: Vec<(WrapRow, Signed<WrapRow>)> = Vec::with_capacity(rows.len());
        for signed in rows {
            let row = verify::wrap_row(self, &signed)?;
            self.check_wrap(&row)?;
            let agrees = accepted.iter().all(|(other, _)| {
                (other.subject, other.generation) != (row.subject, row.generation) || other.kcv == row.kcv
            });
            if !agrees {
                return Err(Reason::WrapMismatch);
            }
            accepted.push((row, signed));
        }
        for (row, signed) in accepted {
            let recipient = recipient(&row.target);
            let before = self.wraps.insert((row.subject, row.generation, recipient), signed.clone());
            if before.as_ref() != Some(&signed) {
                self.record(format!(
                    "{:?} generation {} wrapped to {recipient:?} by {}",
                    row.subject, row.generation, row.by
                ));
            }
        }
        Ok(Applied::Done)
    }

    fn check_wrap(&self, row: &WrapRow) -> Result<(), Reason> {
        let WrapRow { cluster, subject, generation, target, kcv, by } = row;
        if *cluster != self.founded_or_refuse()?.genesis.cluster {
            return Err(Reason::WrongCluster);
        }
        if self.node_banned(*by) {
            return Err(Reason::Banned);
        }
        match subject {
            KeySubject::Crk => self.check_crk_maker(*by)?,
            KeySubject::Dmk(group) => self.check_dmk_maker(*group, *by)?,
        }
        self.check_generation(*subject, *generation, *kcv)?;
        match target {
            WrapTarget::Recovery { .. } => {
                let kept = self.wraps.get(&(*subject, *generation, Recipient::Recovery));
                let same = kept.is_none_or(|kept| decoded(kept).as_ref() == Some(row));
                if same { Ok(()) } else { Err(Reason::Conflict) }
            }
            WrapTarget::Tpm { node, srk_name, .. } => self.check_target(*subject, *node, srk_name),
        }
    }

    /// Whoever has the registry's key may wrap it; at the founding, the founder has it by making it.
    fn check_crk_maker(&self, by: NodeId) -> Result<(), Reason> {
        let current = self.generation(KeySubject::Crk);
        let role = self.members.get(&by).map(|member| member.role);
        let has_it = current.is_none_or(|now| self.has_wrap(KeySubject::Crk, now, Recipient::Node(by)));
        if role == Some(NodeRole::Registry) && has_it { Ok(()) } else { Err(Reason::NotAMember) }
    }

    /// A voter of the group, or the one that founds it.
    fn check_dmk_maker(&self, group: GroupId, by: NodeId) -> Result<(), Reason> {
        let in_charge = |state| matches!(state, ReplicaState::Voter | ReplicaState::Founding);
        let replicas = self.replicas(group).ok_or(Reason::NotFound)?;
        if replicas.iter().any(|replica| replica.node == by && in_charge(replica.state)) {
            Ok(())
        } else {
            Err(Reason::NotAMember)
        }
    }

    /// A known generation keeps its check value; a new one is the next.
    fn check_generation(
        &self,
        subject: KeySubject,
        generation: KeyGeneration,
        kcv: Kcv,
    ) -> Result<(), Reason> {
        match self.kcv(subject, generation) {
            Some(known) if known == kcv => Ok(()),
            Some(_) => Err(Reason::WrapMismatch),
            None => {
                let next = self.generation(subject).map_or(1, |current| current.0.saturating_add(1));
                if generation.0 == next { Ok(()) } else { Err(Reason::Conflict) }
            }
        }
    }

    fn check_target(&self, subject: KeySubject, node: NodeId, srk_name: &[u8]) -> Result<(), Reason> {
        let member = self.members.get(&node).ok_or(Reason::NotFound)?;
        if self.node_banned(node) {
            return Err(Reason::EkBanned);
        }
        if member.srk_name != srk_name {
            return Err(Reason::SrkKey);
        }
        let entitled = match subject {
            KeySubject::Crk => member.role == NodeRole::Registry,
            KeySubject::Dmk(group) => self
                .replicas(group)
                .is_some_and(|replicas| replicas.iter().any(|replica| replica.node == node)),
        };
        if entitled { Ok(()) } else { Err(Reason::NotAMember) }
    }

    fn replicas(&self, group: GroupId) -> Option<&[holdfast_domain::ReplicaDescriptor]> {
        self.map.as_ref().and_then(|(_, map)| map.group(group)).map(|group| group.replicas.as_slice())
    }

    /// Check value of a generation that is known.
    fn kcv(&self, subject: KeySubject, generation: KeyGeneration) -> Option<Kcv> {
        self.wraps_of(subject, generation).next().and_then(|(_, signed)| decoded(signed)).map(|row| row.kcv)
    }

    /// The newest generation of a key.
    pub fn generation(&self, subject: KeySubject) -> Option<KeyGeneration> {
        let range = (subject, KeyGeneration(0), Recipient::Recovery)
            ..=(subject, KeyGeneration(u32::MAX), Recipient::Node(NodeId::new([0xff; 16])));
        self.wraps.range(range).next_back().map(|((_, generation, _), _)| *generation)
    }

    /// All wraps of one generation of a key.
    pub fn wraps_of(
        &self,
        subject: KeySubject,
        generation: KeyGeneration,
    ) -> impl Iterator<Item = (Recipient, &Signed<WrapRow>)> {
        let range = (subject, generation, Recipient::Recovery)
            ..=(subject, generation, Recipient::Node(NodeId::new([0xff; 16])));
        self.wraps.range(range).map(|((_, _, recipient), signed)| (*recipient, signed))
    }

    /// All wraps of a key that one machine can open, oldest generation first; none for a machine that is banned.
    pub fn wraps_for(&self, subject: KeySubject, node: NodeId) -> Vec<Signed<WrapRow>> {
        if self.node_banned(node) {
            return Vec::new();
        }
        let own = |(of, _, recipient): &(KeySubject, KeyGeneration, Recipient)| {
            *of == subject && *recipient == Recipient::Node(node)
        };
        self.wraps.iter().filter(|(key, _)| own(key)).map(|(_, signed)| signed.clone()).collect()
    }

    /// A machine that left keeps what it has, and gets it no more.
    pub(crate) fn destroy_wraps_to(&mut self, group: GroupId, node: NodeId) {
        let gone = (KeySubject::Dmk(group), Recipient::Node(node));
        self.wraps.retain(|(subject, _, recipient), _| (*subject, *recipient) != gone);
    }

    /// All wraps of a key that nothing is sealed under any more.
    pub(crate) fn destroy_wraps_of(&mut self, subject: KeySubject) {
        self.wraps.retain(|(of, _, _), _| *of != subject);
    }

    /// The wraps of all older generations; how many there were.
    pub(crate) fn destroy_wraps_below(&mut self, subject: KeySubject, generation: KeyGeneration) -> usize {
        let before = self.wraps.len();
        self.wraps.retain(|(of, older, _), _| *of != subject || *older >= generation);
        before.saturating_sub(self.wraps.len())
    }

    pub(crate) fn has_wrap(
        &self,
        subject: KeySubject,
        generation: KeyGeneration,
        recipient: Recipient,
    ) -> bool {
        self.wraps.contains_key(&(subject, generation, recipient))
    }
}

/// A row that was verified when it was stored.
fn decoded(signed: &Signed<WrapRow>) -> Option<WrapRow> {
    holdfast_domain::codec::decode(&signed.bytes, holdfast_domain::wrap::MAX_WRAP).ok()
}

fn recipient(target: &WrapTarget) -> Recipient {
    match target {
        WrapTarget::Recovery { .. } => Recipient::Recovery,
        WrapTarget::Tpm { node, .. } => Recipient::Node(*node),
    }
}
