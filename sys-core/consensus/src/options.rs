//! Configuration of a process's groups.

use std::path::PathBuf;
use std::time::Duration;

/// Where and how a process keeps its groups.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the log and the snapshots; made 0700 when absent.
    pub dir: PathBuf,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// When to snapshot and purge.
    pub compaction: Compaction,
    /// When to let a quiet group sleep.
    pub hibernation: Hibernation,
}

/// When a quiet group stops ticking. The registry's group never does: it is alone in its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hibernation {
    /// Not at all.
    Never,
    /// Once nobody proposed or read through its leader for this long, and all its replicas are equal and alive.
    After(Duration),
}

/// 10 s: less often than anything that a person does in a row.
impl Default for Hibernation {
    fn default() -> Self {
        Self::After(Duration::from_secs(10))
    }
}

impl Options {
    /// Production defaults in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            timing: Timing::default(),
            compaction: Compaction::default(),
            hibernation: Hibernation::default(),
        }
    }
}

/// Times of the protocol, checked against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    heartbeat: Duration,
    election_min: Duration,
    election_max: Duration,
}

/// Times that would elect leaders for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "heartbeat {heartbeat:?} must be at least 10 ms and at most a third of the shortest election timeout {election_min:?}, which must be below the longest {election_max:?}"
)]
pub struct TimingError {
    heartbeat: Duration,
    election_min: Duration,
    election_max: Duration,
}

impl Timing {
    /// Checks and builds.
    ///
    /// # Errors
    /// [`TimingError`] when elections could start between two heartbeats.
    pub fn new(
        heartbeat: Duration,
        election_min: Duration,
        election_max: Duration,
    ) -> Result<Self, TimingError> {
        let sound = heartbeat >= Duration::from_millis(10)
            && heartbeat.saturating_mul(3) <= election_min
            && election_min < election_max
            && election_max <= Duration::from_secs(60);
        if sound {
            Ok(Self { heartbeat, election_min, election_max })
        } else {
            Err(TimingError { heartbeat, election_min, election_max })
        }
    }

    /// Pause between a leader's heartbeats.
    pub const fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// Shortest and longest silence before a follower campaigns.
    pub const fn election(&self) -> (Duration, Duration) {
        (self.election_min, self.election_max)
    }
}

/// 150 ms and 600 to 1,200 ms: a disk that stalls 72 ms changes no leader, a dead leader is replaced in about 2 s.
impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(1200),
        }
    }
}

/// When a group snapshots and what it keeps of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Log entries between two snapshots.
    pub entries: u64,
    /// Entries kept behind the snapshot, for followers that are slightly late.
    pub keep: u64,
    /// Throttle of snapshot writing, so that it does not disturb commits.
    pub bytes_per_second: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { entries: 8192, keep: 1024, bytes_per_second: 64 << 20 }
    }
}
