//! Whether a replica sleeps, and what keeps it awake.
//!
//! Falling asleep and waking switch the library's ticks under one lock. Whoever gives the replica something to do counts that first
//! and looks for sleep second; whoever lets it fall asleep says so first and looks at the count second: one of the two sees the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_domain::ReplicaId;
use tokio::time::Instant;

use crate::PeerId;
use crate::net::Link;
use crate::net::wire::Life;

/// A process that must live while the replica sleeps.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) replica: ReplicaId,
    pub(crate) peer: PeerId,
    pub(crate) link: Arc<Link>,
    /// As it was when the replica fell asleep.
    pub(crate) met: Life,
}

/// See the module.
pub(crate) struct Sleep {
    born: Instant,
    activity: AtomicU64,
    last_ms: AtomicU64,
    asleep: AtomicBool,
    watched: Mutex<Vec<Watched>>,
    /// Held by a leader that tries to fall asleep, and by whoever wakes a leader.
    pub(crate) turning: tokio::sync::Mutex<()>,
    /// Held by a follower's one attempt to find out who leads.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

impl Sleep {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            activity: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            watched: Mutex::default(),
            turning: tokio::sync::Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Counts something to do. Returns whether the replica sleeps and must be woken for it.
    pub(crate) fn touch(&self) -> bool {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
        self.activity.fetch_add(1, Ordering::SeqCst);
        self.is_asleep()
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    /// What was counted so far.
    pub(crate) fn activity(&self) -> u64 {
        self.activity.load(Ordering::SeqCst)
    }

    /// Since something was counted last.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }

    /// Falls asleep unless something was counted after `activity`; `ticks` is switched off then.
    pub(crate) fn fall_asleep(&self, activity: u64, watch: Vec<Watched>, ticks: impl FnOnce(bool)) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, Ordering::SeqCst);
        if self.activity() != activity {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        *watched = watch;
        ticks(false);
        true
    }

    /// Wakes up; `ticks` is switched on then. Returns whether it slept.
    pub(crate) fn wake(&self, ticks: impl FnOnce(bool)) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.asleep.swap(false, Ordering::SeqCst) {
            return false;
        }
        watched.clear();
        ticks(true);
        true
    }

    /// Whom a sleeping replica depends on.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
