//! The machine as consensus sees it: load, apply, barrier, snapshot, install.

use std::{io::Read, sync::Arc};

use holdfast_consensus::{Barrier, Command as LogCommand, MachineError, SnapshotView, StateMachine};
use holdfast_store::abort_on_failed_sync;

use super::{Command, GroupState, Outcome, StateError, Table, apply::Applying, rows::Progress, snapshot};

/// The writing side of a [`GroupState`].
pub(super) struct ShardMachine {
    state: Arc<GroupState>,
}

impl ShardMachine {
    pub(super) fn new(state: Arc<GroupState>) -> Self {
        Self { state }
    }

    /// All commands, in as few engine writes as the engine takes; `meta` goes with the last.
    ///
    /// A write without `meta` leaves the log position behind: [`Progress`] tells a replay what it contains already.
    fn apply_all(&self, commands: &[LogCommand<'_>], meta: &[u8]) -> Result<Vec<Vec<u8>>, StateError> {
        let reader = self.state.read();
        let mut applying = Applying::new(&self.state, reader.prefix());
        let done = applying.txn.get::<Progress>(&[])?;
        let mut results = Vec::with_capacity(commands.len());
        for command in commands {
            let ordinal = command.ordinal();
            let outcome = match (done, Command::decode(command.bytes)) {
                (Some(Progress(done)), _) if ordinal <= done => Outcome::Duplicate,
                (_, Ok(command)) => applying.apply(command, ordinal)?,
                (_, Err(error)) => {
                    tracing::error!(%error, group = %self.state.keys().group(), "a command does not decode");
                    Outcome::Malformed
                }
            };
            results.push(outcome.encode().map_err(StateError::Encoding)?);
            if applying.txn.is_full() {
                applying.txn.put(&[], &Progress(ordinal))?;
                applying.txn.keep();
                applying.write()?;
            }
        }
        if let Some(last) = commands.last() {
            let last = last.ordinal().max(done.map_or(0, |Progress(done)| done));
            applying.txn.put(&[], &Progress(last))?;
        }
        applying.txn.put_raw(Table::Meta, &[], meta.to_vec().into());
        applying.txn.keep();
        applying.write()?;
        Ok(results)
    }
}

impl StateMachine for ShardMachine {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        let meta = self.state.read().get_raw(Table::Meta, &[]).map_err(MachineError::new)?;
        Ok(meta.map(Into::into))
    }

    fn apply(&mut self, commands: &[LogCommand<'_>], meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        self.apply_all(commands, meta).map_err(MachineError::new)
    }

    fn barrier(&mut self) -> Barrier {
        let engine = Arc::clone(self.state.engine());
        Box::new(move || abort_on_failed_sync(engine.barrier()).map_err(MachineError::new))
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        snapshot::view(&self.state).map_err(MachineError::new)
    }

    fn install(&mut self, snapshot: &mut dyn Read, meta: &[u8]) -> Result<(), MachineError> {
        snapshot::install(&self.state, snapshot, meta).map_err(MachineError::new)
    }
}
