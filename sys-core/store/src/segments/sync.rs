//! Group sync: whoever waits while a sync runs is served by the next one, all together.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use super::{SegmentError, entry::SegmentId};
use crate::durability::{SyncFailed, sync_data};

/// A place in the order of all appended entries; everything before it is durable once it was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
}

impl Position {
    pub(super) const START: Self = Self { segment: SegmentId(0), offset: 0 };
}

/// The file to sync now, and how far that reaches.
pub(super) struct Target {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) reaches: Position,
}

#[derive(Debug)]
pub(super) struct SyncGate {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
struct State {
    durable: Position,
    activity: Activity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    Syncing,
    /// A sync failed: nothing is durable any more that was not before.
    Broken,
}

impl SyncGate {
    pub(super) fn new(durable: Position) -> Self {
        Self { state: Mutex::new(State { durable, activity: Activity::Idle }), done: Condvar::new() }
    }

    /// How far everything is durable.
    pub(super) fn durable(&self) -> Position {
        self.lock().durable
    }

    /// Refuses to go on after a failed sync.
    pub(super) fn check(&self, path: &Path) -> Result<(), SyncFailed> {
        match self.lock().activity {
            Activity::Idle | Activity::Syncing => Ok(()),
            Activity::Broken => Err(SyncFailed::new(path, io::Error::other("an earlier sync failed"))),
        }
    }

    /// Returns once everything before `upto` is durable. `target` is asked for when it is this caller's turn to sync.
    pub(super) fn wait(
        &self,
        upto: Position,
        folder: &Path,
        target: impl Fn() -> Option<Target>,
    ) -> Result<(), SegmentError> {
        let mut state = self.lock();
        while state.durable < upto {
            match state.activity {
                Activity::Broken => {
                    return Err(SyncFailed::new(folder, io::Error::other("an earlier sync failed")).into());
                }
                Activity::Syncing => state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner),
                Activity::Idle => {
                    state.activity = Activity::Syncing;
                    drop(state);
                    let outcome =
                        target().map(|target| (sync_data(&target.file, &target.path), target.reaches));
                    state = self.lock();
                    self.settle(&mut state, outcome)?;
                }
            }
        }
        Ok(())
    }

    /// Records a sync that the writer did itself, under its own lock.
    pub(super) fn advance(
        &self,
        outcome: Result<(), SyncFailed>,
        reached: Position,
    ) -> Result<(), SegmentError> {
        let mut state = self.lock();
        let activity = state.activity;
        self.settle(&mut state, Some((outcome, reached)))?;
        // A group sync that runs meanwhile is still its starter's to end.
        state.activity = activity;
        Ok(())
    }

    fn settle(
        &self,
        state: &mut State,
        outcome: Option<(Result<(), SyncFailed>, Position)>,
    ) -> Result<(), SegmentError> {
        self.done.notify_all();
        if state.activity != Activity::Broken {
            state.activity = Activity::Idle;
        }
        match outcome {
            None => Ok(()),
            Some((Ok(()), reached)) => {
                state.durable = state.durable.max(reached);
                Ok(())
            }
            Some((Err(failed), _)) => {
                state.activity = Activity::Broken;
                Err(failed.into())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
