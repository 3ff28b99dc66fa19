//! Who leads.

use holdfast_domain::ReplicaId;

use super::{HEARTBEAT_MS, Message, Outgoing, Payload, Replica, Role};

impl Replica {
    pub(super) fn campaign(&mut self, now: u64, transfer: bool, out: &mut Vec<Outgoing>) {
        let config = self.config();
        if !config.voters.contains_key(&self.id) {
            return;
        }
        self.term += 1;
        (self.voted, self.role) = (Some(self.id), Role::Candidate);
        self.votes = [self.id].into();
        let (term, last) = (self.term, self.last());
        let others = config.voters.iter().filter(|(id, _)| **id != self.id);
        out.extend(others.map(|(id, node)| (*id, *node, Message::Ask { term, last, transfer })));
        self.count(now, out);
    }

    pub(super) fn count(&mut self, now: u64, out: &mut Vec<Outgoing>) {
        let config = self.config();
        let votes = config.voters.keys().filter(|id| self.votes.contains(id)).count();
        if self.role != Role::Candidate || votes * 2 <= config.voters.len() {
            return;
        }
        self.role = Role::Leader;
        self.matched.clear();
        self.answered.clear();
        self.next.clear();
        self.beat = now + HEARTBEAT_MS;
        self.propose(Payload::Blank);
        self.replicate(out);
    }

    /// Asks a voter to take the lead over.
    pub fn transfer(&self, to: ReplicaId, out: &mut Vec<Outgoing>) {
        if let Some(node) = self.config().voters.get(&to) {
            out.push((to, *node, Message::TakeOver { term: self.term }));
        }
    }
}
