//! How followers get what they lack, and what a majority holds.

use super::{Entry, Message, Outgoing, Replica};

/// Entries in one message.
const BATCH: usize = 64;

impl Replica {
    /// What each other member lacks.
    pub fn replicate(&mut self, out: &mut Vec<Outgoing>) {
        let config = self.config();
        let own = self.id;
        for (id, node) in config.voters.iter().chain(&config.learners).filter(|(id, _)| **id != own) {
            let prev = self.next.get(id).copied().unwrap_or(self.log.len()).min(self.log.len());
            let prev_term = if prev == 0 { 0 } else { self.log[prev - 1].term };
            let entries = self.log[prev..].iter().take(BATCH).cloned().collect();
            let (term, commit) = (self.term, self.commit);
            out.push((*id, *node, Message::Append { term, prev, prev_term, entries, commit }));
        }
    }

    pub(super) fn advance(&mut self) {
        let config = self.config();
        let mut held: Vec<usize> = config
            .voters
            .keys()
            .map(
                |id| if *id == self.id { self.log.len() } else { self.matched.get(id).copied().unwrap_or(0) },
            )
            .collect();
        held.sort_unstable();
        let Some(by_majority) = held.get(held.len().saturating_sub(1) / 2).copied() else { return };
        if by_majority > self.commit && self.log[by_majority - 1].term == self.term {
            self.commit = by_majority;
            self.apply();
        }
    }

    pub(super) fn append(
        &mut self,
        prev: usize,
        prev_term: u64,
        entries: Vec<Entry>,
        commit: usize,
    ) -> (bool, usize) {
        let fits = prev <= self.log.len() && (prev == 0 || self.log[prev - 1].term == prev_term);
        if !fits {
            return (false, self.log.len().min(prev.saturating_sub(1)));
        }
        let end = prev + entries.len();
        for (at, entry) in (prev..).zip(entries) {
            if self.log.get(at).is_some_and(|known| known.term != entry.term) {
                self.truncate(at);
            }
            if at >= self.log.len() {
                self.push(entry);
            }
        }
        self.commit = self.commit.max(commit.min(end));
        self.apply();
        (true, end)
    }
}
