//! The replicated state as consensus drives it.

use std::io::{Read, Write};

use holdfast_consensus::{Command as Entry, MachineError, SnapshotView, StateMachine};
use holdfast_registry_state::{Command, State, limits::MAX_STATE};

use crate::state_host::StateHost;

/// In memory: rebuilt from snapshot and log at every start.
pub(crate) struct Machine(pub(crate) StateHost);

impl StateMachine for Machine {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(None)
    }

    /// A command that does not decode was proposed by a newer version: going on without it would be another state than the others'.
    fn apply(&mut self, commands: &[Entry<'_>], _meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        self.0.write(|state| {
            let one = |entry: &Entry<'_>| {
                let command = Command::decode(entry.bytes).map_err(MachineError::new)?;
                let outcome = state.apply(entry.ordinal(), command);
                tracing::debug!(index = entry.index, ?outcome, "command applied");
                outcome.encode().map_err(MachineError::new)
            };
            commands.iter().map(one).collect()
        })
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        let bytes = self.0.read().snapshot().map_err(MachineError::new)?;
        Ok(Box::new(Bytes(bytes)))
    }

    fn install(&mut self, snapshot: &mut dyn Read, _meta: &[u8]) -> Result<(), MachineError> {
        let limit = u64::try_from(MAX_STATE).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        snapshot.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        let restored = State::restore(&bytes).map_err(MachineError::new)?;
        self.0.write(|state| *state = restored);
        Ok(())
    }
}

struct Bytes(Vec<u8>);

impl SnapshotView for Bytes {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), MachineError> {
        Ok(out.write_all(&self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{NodeId, SpiffeSubject, UnixMs};
    use holdfast_registry_state::Act;

    use super::*;

    fn entry(bytes: &[u8]) -> Entry<'_> {
        Entry { index: 3, sub: 0, term: 1, bytes }
    }

    #[test]
    fn a_refused_command_is_a_result_and_readers_are_told() {
        let host = StateHost::default();
        let node = NodeId::new([1; 16]);
        let command =
            Command { now: UnixMs(5), by: SpiffeSubject::Registry(node), act: Act::VoterPromoted(node) };
        let changes = host.applied();
        let bytes = command.encode().unwrap();
        assert_eq!(Machine(host.clone()).apply(&[entry(&bytes)], &[]).unwrap().len(), 1);
        assert!(changes.has_changed().unwrap());
        assert_eq!(host.read().clock(), UnixMs(5));
    }

    #[test]
    fn bytes_of_no_known_command_stop_the_machine() {
        assert!(Machine(StateHost::default()).apply(&[entry(&[9, 9])], &[]).is_err());
    }

    #[test]
    fn a_snapshot_installs_to_the_same_state() {
        let (from, to) = (StateHost::default(), StateHost::default());
        let mut bytes = Vec::new();
        Machine(from.clone()).snapshot().unwrap().write_to(&mut bytes).unwrap();
        Machine(to.clone()).install(&mut bytes.as_slice(), &[]).unwrap();
        assert_eq!(from.read().hash().unwrap(), to.read().hash().unwrap());
        assert!(Machine(to).install(&mut [1, 2, 3].as_slice(), &[]).is_err());
    }
}
