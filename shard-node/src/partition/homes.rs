//! Keyrings of slots and homes: made at a home's first write, opened for each later call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use holdfast_domain::{HomeId, KeyGeneration, Reason, Sha256Hash, Slot};
use holdfast_keys::{PartitionKeyring, SlotKeyring};
use holdfast_store::records::{PartitionToken, RecordCodec, Tablespace, TablespaceSpec, partition_token};
use holdfast_sys_core::errors::Refusal;

use super::ShardGroup;
use crate::{
    limits::{COMMIT_TRIES, MAX_OPEN_PARTITIONS},
    machine::{
        Command, Outcome, PartitionKeyringRow, Reader, Row as _, SlotRow, StateError, Table, fingerprint,
        partition_key, slot_key,
    },
};

/// One home's part of one tablespace, by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HomeRef {
    pub(crate) home: HomeId,
    pub(crate) slot: Slot,
    pub(crate) spec: TablespaceSpec,
}

/// The same with its keys.
pub(crate) struct OpenHome {
    pub(crate) partition: PartitionToken,
    pub(crate) codec: RecordCodec,
    /// The keyring's, with that of the slot above it.
    row: Bytes,
    slot_row: Bytes,
    key: Vec<u8>,
}

/// Homes that were opened lately, each valid for as long as its keyring's row stays what it was.
#[derive(Default)]
pub(super) struct HomeCache(Mutex<HashMap<(HomeId, Tablespace), Arc<OpenHome>>>);

/// What a home lacks before its first write.
enum Lacking {
    Nothing,
    SlotKeyring(SlotRow),
    PartitionKeyring(SlotRow, PartitionToken),
}

impl ShardGroup {
    /// Opens a home; `None` when it never wrote. Blocks.
    pub(crate) fn open_home(
        &self,
        reader: &Reader<'_>,
        at: &HomeRef,
    ) -> Result<Option<Arc<OpenHome>>, StateError> {
        let Some(slot_row) = reader.get_raw(Table::SlotKeyrings, &slot_key(at.slot))? else {
            return Ok(None);
        };
        // Under the same keyring of the slot it is still at the same place.
        if let Some(open) = self.homes.find(at, &slot_row)
            && reader.get_raw(Table::PartitionKeyrings, &open.key)?.is_some_and(|row| row == open.row)
        {
            return Ok(Some(open));
        }
        let slot = self.state().open_slot(at.slot, &slot_row)?;
        let partition = partition_token(&slot.keyring.locator, at.home);
        let key = partition_key(at.slot, partition);
        let Some(row) = reader.get_raw(Table::PartitionKeyrings, &key)? else { return Ok(None) };
        let PartitionKeyringRow { min_generation: _, sealed } = PartitionKeyringRow::decode(&row)?;
        let keys = self.state().keys();
        let keyring = keys.open_partition(&slot.keyring.slot, at.slot, partition, &sealed.0)?;
        let codec = RecordCodec::new(keys.cluster(), at.slot, partition, &at.spec, &keyring);
        let open = Arc::new(OpenHome { partition, codec, row, slot_row, key });
        self.homes.keep(at, &open);
        Ok(Some(open))
    }

    /// Makes sure that a home has its keyrings. The caller has the slot's turn.
    pub(super) async fn ensure_home(&self, term: u64, at: HomeRef) -> Result<(), Refusal> {
        // Two steps at most, and each may be overtaken.
        for _ in 0..2 * COMMIT_TRIES {
            let Some(command) = self.quick(move |shard| shard.next_keyring(&at)).await? else {
                return Ok(());
            };
            match self.propose(term, &command).await? {
                Outcome::Applied | Outcome::Conflict => {}
                Outcome::WrongSlot => return Err(Refusal::new(Reason::WrongGroup)),
                other => {
                    return Err(
                        Refusal::new(Reason::Internal).because(format!("a keyring was answered {other:?}"))
                    );
                }
            }
        }
        Err(Refusal::new(Reason::Conflict))
    }

    /// The command that makes the next keyring that a home lacks.
    fn next_keyring(&self, at: &HomeRef) -> Result<Option<Command>, Refusal> {
        match self.lacking(at)? {
            Lacking::Nothing => Ok(None),
            Lacking::SlotKeyring(slot) => {
                let keyring = SlotKeyring::generate().map_err(StateError::from)?;
                let row = self.state().keys().seal_slot(at.slot, &keyring).map_err(StateError::from)?;
                let (epoch, previous) = (slot.epoch, None);
                Ok(Some(Command::PutSlotKeyring {
                    slot: at.slot,
                    epoch,
                    previous,
                    generation: row.generation,
                    sealed: row.sealed,
                }))
            }
            Lacking::PartitionKeyring(slot, partition) => {
                let keyring = PartitionKeyring::generate(KeyGeneration(1)).map_err(StateError::from)?;
                let (under, sealed) = self.seal_partition(at, partition, &keyring)?;
                Ok(Some(Command::PutPartitionKeyring {
                    slot: at.slot,
                    epoch: slot.epoch,
                    partition: partition.0,
                    under,
                    previous: None,
                    min_generation: KeyGeneration(1),
                    sealed: sealed.into(),
                }))
            }
        }
    }

    fn lacking(&self, at: &HomeRef) -> Result<Lacking, Refusal> {
        let reader = self.state().read();
        let slot = match reader.slot(at.slot)? {
            Some(row) if row.serves(row.epoch) => row,
            _ => return Err(Refusal::new(Reason::WrongGroup)),
        };
        let Some(row) = reader.get_raw(Table::SlotKeyrings, &slot_key(at.slot))? else {
            return Ok(Lacking::SlotKeyring(slot));
        };
        let open = self.state().open_slot(at.slot, &row)?;
        let partition = partition_token(&open.keyring.locator, at.home);
        let key = partition_key(at.slot, partition);
        match reader.get_raw(Table::PartitionKeyrings, &key)? {
            Some(_) => Ok(Lacking::Nothing),
            None => Ok(Lacking::PartitionKeyring(slot, partition)),
        }
    }

    fn seal_partition(
        &self,
        at: &HomeRef,
        partition: PartitionToken,
        keyring: &PartitionKeyring,
    ) -> Result<(Sha256Hash, Vec<u8>), Refusal> {
        let row = self.state().read().get_raw(Table::SlotKeyrings, &slot_key(at.slot))?;
        let row = row.ok_or_else(|| Refusal::new(Reason::Conflict))?;
        let slot = self.state().open_slot(at.slot, &row)?;
        let sealed = self.state().keys().seal_partition(&slot.keyring.slot, at.slot, partition, keyring);
        Ok((fingerprint(&row), sealed.map_err(StateError::from)?))
    }
}

impl HomeCache {
    fn find(&self, at: &HomeRef, slot_row: &Bytes) -> Option<Arc<OpenHome>> {
        let homes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        homes.get(&(at.home, at.spec.id)).filter(|open| open.slot_row == slot_row).cloned()
    }

    fn keep(&self, at: &HomeRef, open: &Arc<OpenHome>) {
        let mut homes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if homes.len() >= MAX_OPEN_PARTITIONS {
            // Whichever: opening one again costs microseconds.
            let any = homes.keys().next().copied();
            any.map(|key| homes.remove(&key));
        }
        homes.insert((at.home, at.spec.id), Arc::clone(open));
    }
}
