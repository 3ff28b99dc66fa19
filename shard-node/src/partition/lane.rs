//! Writers of one slot: many decide one after the other without waiting for each other's commits.
//!
//! What was decided and is on its way through the log lies over the rows as a layer that the next decision sees. Each
//! decision names every row that it was made on, with the sealing it saw, so `apply` refuses those whose ground did not come to
//! be: the layer makes conflicts rare and is never what keeps the state right. Invariants:
//! - commands reach the log in the order of their decisions, as both happen under the lane's lock;
//! - in one term no version is drawn twice, whatever became of the command that it was drawn for;
//! - a row is in the layer until the command that wrote it was answered; one that was not applied takes the whole layer away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use holdfast_domain::CommandId;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, oneshot};

use crate::machine::{Batch, Op};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    turn: Arc<RwLock<()>>,
    ahead: Mutex<Ahead>,
}

/// The right to decide among others.
pub(super) struct Among {
    _turn: OwnedRwLockReadGuard<()>,
}

/// The right to decide for a slot with nothing else on its way.
pub(crate) struct Writer {
    _turn: OwnedRwLockWriteGuard<()>,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    term: u64,
    /// No version that was drawn in this term is higher.
    high_water: u64,
    next: Ticket,
    rows: HashMap<Bytes, Row>,
    /// Who waits for a command's end.
    commands: HashMap<CommandId, Vec<oneshot::Sender<()>>>,
}

#[derive(Debug)]
struct Row {
    by: Ticket,
    /// `None` when it is deleted.
    value: Option<Bytes>,
}

/// A command's place among those of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ticket(u64);

/// A command on its way. One that is given up may still be applied, or not.
#[derive(Debug)]
pub(super) struct Flight {
    lane: Arc<Lane>,
    term: u64,
    ticket: Ticket,
    id: CommandId,
    keys: Vec<Bytes>,
    landed: bool,
}

impl Lane {
    /// Waits for whoever wants the slot for himself.
    pub(super) async fn among(&self) -> Among {
        Among { _turn: Arc::clone(&self.turn).read_owned().await }
    }

    /// Waits until nothing is on its way.
    pub(super) async fn alone(&self) -> Writer {
        Writer { _turn: Arc::clone(&self.turn).write_owned().await }
    }

    /// What is on its way in this term.
    pub(super) fn ahead(&self, term: u64) -> MutexGuard<'_, Ahead> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.term < term {
            *ahead = Ahead { term, ..Ahead::default() };
        }
        ahead
    }
}

impl Ahead {
    /// A row as it will be; `None` when nothing on its way changes it.
    pub(super) fn row(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.rows.get(key).map(|row| row.value.clone())
    }

    /// Versions are drawn above this and what the state says.
    pub(super) const fn high_water(&self) -> u64 {
        self.high_water
    }

    /// The end of a command with this id that is on its way already.
    pub(super) fn same(&mut self, id: CommandId) -> Option<oneshot::Receiver<()>> {
        let waiting = self.commands.get_mut(&id)?;
        let (end, ended) = oneshot::channel();
        waiting.push(end);
        Some(ended)
    }

    /// A command that was submitted just now, with the highest version that was drawn for it.
    pub(super) fn add(&mut self, lane: &Arc<Lane>, batch: &Batch, high_water: u64) -> Flight {
        let ticket = self.next;
        self.next = Ticket(ticket.0.wrapping_add(1));
        self.high_water = self.high_water.max(high_water);
        self.commands.insert(batch.id, Vec::new());
        let mut keys = Vec::with_capacity(batch.ops.len());
        for op in &batch.ops {
            let (key, value) = match op {
                Op::Put { key, value } => (&key.0, Some(value.0.clone())),
                Op::Delete { key } => (&key.0, None),
                _ => continue,
            };
            self.rows.insert(key.clone(), Row { by: ticket, value });
            keys.push(key.clone());
        }
        let (lane, term, id) = (Arc::clone(lane), self.term, batch.id);
        Flight { lane, term, ticket, id, keys, landed: false }
    }

    fn end(&mut self, flight: &Flight, applied: bool) {
        if self.term != flight.term {
            return;
        }
        self.commands.remove(&flight.id);
        if !applied {
            // Whoever decided on these rows is refused by `apply`; the next sees what is there.
            self.rows.clear();
            return;
        }
        for key in &flight.keys {
            if self.rows.get(key).is_some_and(|row| row.by == flight.ticket) {
                self.rows.remove(key);
            }
        }
    }
}

impl Flight {
    /// It was applied: its rows are in the state.
    pub(super) fn applied(mut self) {
        self.land(true);
    }

    fn land(&mut self, applied: bool) {
        if !std::mem::replace(&mut self.landed, true) {
            let mut ahead = self.lane.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            ahead.end(self, applied);
        }
    }
}

/// Refused, or given up.
impl Drop for Flight {
    fn drop(&mut self) {
        self.land(false);
    }
}

#[cfg(test)]
mod tests;
