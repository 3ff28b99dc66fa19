//! A state machine for tests: a map in memory.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use crate::{Command, MachineError, SnapshotView, StateMachine};

type Map = BTreeMap<Vec<u8>, u64>;

/// Remembers each command's ordinal.
#[derive(Default)]
pub(crate) struct MapMachine {
    pub(crate) map: Arc<Mutex<Map>>,
    meta: Option<Vec<u8>>,
}

struct View(Map);

impl SnapshotView for View {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), MachineError> {
        let bytes = postcard::to_stdvec(&self.0).map_err(MachineError::new)?;
        Ok(out.write_all(&bytes)?)
    }
}

impl StateMachine for MapMachine {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(self.meta.clone())
    }

    fn apply(&mut self, commands: &[Command<'_>], meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        let mut map = self.map.lock().unwrap();
        self.meta = Some(meta.to_vec());
        Ok(commands
            .iter()
            .map(|command| {
                map.insert(command.bytes.to_vec(), command.ordinal());
                command.bytes.to_vec()
            })
            .collect())
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        Ok(Box::new(View(self.map.lock().unwrap().clone())))
    }

    fn install(&mut self, snapshot: &mut dyn Read, meta: &[u8]) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        *self.map.lock().unwrap() = postcard::from_bytes(&bytes).map_err(MachineError::new)?;
        self.meta = Some(meta.to_vec());
        Ok(())
    }
}
