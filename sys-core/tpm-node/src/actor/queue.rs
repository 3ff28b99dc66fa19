//! Bounded queue with two priorities between many callers and the one TPM thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Device;
use crate::limits::{MAX_QUEUED_NORMAL, MAX_QUEUED_URGENT};

pub(crate) type Job = Box<dyn FnOnce(&mut Device) + Send>;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Join, renewal and unsealing: a node that cannot do these goes dark.
    Urgent,
    /// Everything else.
    Normal,
}

/// Too many jobs of this priority wait.
#[derive(Debug)]
pub(crate) struct QueueFull {
    pub(crate) limit: usize,
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Job>,
    normal: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub(crate) fn push(&self, priority: Priority, job: Job) -> Result<(), QueueFull> {
        let mut state = self.lock();
        let (line, limit) = match priority {
            Priority::Urgent => (&mut state.urgent, MAX_QUEUED_URGENT),
            Priority::Normal => (&mut state.normal, MAX_QUEUED_NORMAL),
        };
        if line.len() >= limit {
            return Err(QueueFull { limit });
        }
        line.push_back(job);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for the next job; `None` once closed and drained.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let State { urgent, normal, closed } = &mut *state;
            if let Some(job) = urgent.pop_front().or_else(|| normal.pop_front()) {
                return Some(job);
            }
            if *closed {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// No code panics while it holds the lock, and every state in between is valid anyway.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
