//! The replicated state as one process holds it: written by the group's state machine alone, read by everyone else.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use holdfast_registry_state::State;
use tokio::sync::watch;

/// The state and news of its changes. Clones share one state.
#[derive(Clone)]
pub struct StateHost {
    state: Arc<RwLock<State>>,
    applied: Arc<watch::Sender<u64>>,
}

impl Default for StateHost {
    fn default() -> Self {
        Self::new(State::default())
    }
}

impl StateHost {
    /// Holds a state.
    pub fn new(state: State) -> Self {
        let applied = Arc::new(watch::Sender::new(state.index()));
        Self { state: Arc::new(RwLock::new(state)), applied }
    }

    /// The state as of now. Hold the guard briefly: it holds up `apply`.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|_| broken())
    }

    /// Changes the state and tells whoever watches. For the state machine only.
    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.write().unwrap_or_else(|_| broken());
        let result = change(&mut state);
        let index = state.index();
        drop(state);
        self.applied.send_replace(index);
        result
    }

    /// Number of the last command, and its changes.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }
}

/// A panic in the middle of a command left the state half changed: whatever was said from here on could be a lie, and a restart
/// rebuilds the state from snapshot and log.
fn broken() -> ! {
    tracing::error!("a command panicked while it was applied: stopping, a restart rebuilds the state");
    std::process::abort()
}
