//! The group's DMK, and the contexts under which keyrings are sealed.

use std::{
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use holdfast_domain::{ClusterId, GroupId, KeyGeneration, Slot};
use holdfast_keys::{
    Dmk, LenPrefixed, PartitionKeyring, SlotKey, SlotKeyring,
    keyring::{GenerationError, Generations, KeyringError},
    labels,
};
use holdfast_store::records::PartitionToken;

use super::rows::SlotKeyringRow;

/// The group's own keys and what they are bound to.
pub struct GroupKeys {
    cluster: ClusterId,
    group: GroupId,
    masters: Mutex<Masters>,
    changed: Condvar,
}

struct Masters {
    generations: Generations<Dmk>,
    /// What the machine waits for.
    awaited: Option<KeyGeneration>,
    /// The replica stops.
    closed: bool,
}

/// The replica stopped while its machine waited for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped without key generation {0}")]
pub struct KeysClosed(KeyGeneration);

/// Says whose keys they are, never what they are.
impl fmt::Debug for GroupKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKeys({}, group {})", self.cluster, self.group)
    }
}

impl GroupKeys {
    /// With the group's DMK of one generation.
    pub fn new(cluster: ClusterId, group: GroupId, generation: KeyGeneration, dmk: Dmk) -> Self {
        let generations = Generations::first(generation, dmk);
        let masters = Mutex::new(Masters { generations, awaited: None, closed: false });
        Self { cluster, group, masters, changed: Condvar::new() }
    }

    /// Adds a newer DMK, for new keyrings.
    ///
    /// # Errors
    /// When it is not newer, or too many are alive.
    pub fn push(&self, generation: KeyGeneration, dmk: Dmk) -> Result<(), GenerationError> {
        self.lock().generations.push(generation, dmk)?;
        self.changed.notify_all();
        Ok(())
    }

    /// Forgets an older DMK that no keyring of the state is sealed under.
    ///
    /// # Errors
    /// For the newest and for one that is not there.
    pub fn retire(&self, generation: KeyGeneration) -> Result<(), GenerationError> {
        self.lock().generations.retire(generation)
    }

    /// The generation for new keyrings.
    pub fn newest(&self) -> KeyGeneration {
        self.lock().generations.newest().0
    }

    /// All generations, oldest first.
    pub fn generations(&self) -> Vec<KeyGeneration> {
        self.lock().generations.iter().map(|(generation, _)| generation).collect()
    }

    /// Uses the DMK for new keyrings.
    pub fn with_newest<T>(&self, job: impl FnOnce(KeyGeneration, &Dmk) -> T) -> T {
        let masters = self.lock();
        let (generation, dmk) = masters.generations.newest();
        job(generation, dmk)
    }

    /// Uses a DMK, if it is here.
    pub fn with<T>(&self, generation: KeyGeneration, job: impl FnOnce(&Dmk) -> T) -> Option<T> {
        self.lock().generations.get(generation).map(job)
    }

    /// A generation that the machine waits for.
    pub fn awaited(&self) -> Option<KeyGeneration> {
        self.lock().awaited
    }

    /// Blocks until a generation is here. The log may speak of a key that was wrapped to this machine and not fetched yet; to go on without
    /// it would be to stop being a replica.
    pub(crate) fn await_generation(&self, generation: KeyGeneration) -> Result<(), KeysClosed> {
        let mut masters = self.lock();
        // What was retired is never named again, and what is older than all was.
        while masters.generations.newest().0 < generation {
            if masters.closed {
                return Err(KeysClosed(generation));
            }
            masters.awaited = Some(generation);
            masters = holdfast_consensus::in_place(|| self.changed.wait(masters))
                .unwrap_or_else(PoisonError::into_inner);
        }
        masters.awaited = None;
        Ok(())
    }

    /// Ends every wait: the replica stops.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The cluster.
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The group.
    pub const fn group(&self) -> GroupId {
        self.group
    }

    pub(crate) fn seal_slot(
        &self,
        slot: Slot,
        keyring: &SlotKeyring,
    ) -> Result<SlotKeyringRow, KeyringError> {
        let masters = self.lock();
        let (generation, dmk) = masters.generations.newest();
        let sealed = keyring.seal(dmk, &self.slot_context(slot, generation))?.into();
        Ok(SlotKeyringRow { generation, sealed })
    }

    pub(crate) fn open_slot(&self, slot: Slot, row: &SlotKeyringRow) -> Result<SlotKeyring, KeyringError> {
        let SlotKeyringRow { generation, sealed } = row;
        let masters = self.lock();
        let dmk = masters.generations.get(*generation).ok_or(GenerationError::Unknown(*generation))?;
        SlotKeyring::open(dmk, &self.slot_context(slot, *generation), &sealed.0)
    }

    pub(crate) fn seal_partition(
        &self,
        key: &SlotKey,
        slot: Slot,
        partition: PartitionToken,
        keyring: &PartitionKeyring,
    ) -> Result<Vec<u8>, KeyringError> {
        keyring.seal(key, &self.partition_context(slot, partition))
    }

    pub(crate) fn open_partition(
        &self,
        key: &SlotKey,
        slot: Slot,
        partition: PartitionToken,
        sealed: &[u8],
    ) -> Result<PartitionKeyring, KeyringError> {
        PartitionKeyring::open(key, &self.partition_context(slot, partition), sealed)
    }

    fn lock(&self) -> MutexGuard<'_, Masters> {
        self.masters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot_context(&self, slot: Slot, generation: KeyGeneration) -> Vec<u8> {
        LenPrefixed::new(labels::SLOT_KEYRING)
            .field(self.cluster.as_bytes())
            .number(self.group.0)
            .number(slot.number())
            .number(generation.0)
            .into_bytes()
    }

    /// Without the group: a moved slot keeps its partitions' keyrings as they are.
    fn partition_context(&self, slot: Slot, partition: PartitionToken) -> Vec<u8> {
        LenPrefixed::new(labels::PARTITION_KEYRING)
            .field(self.cluster.as_bytes())
            .number(slot.number())
            .field(&partition.0)
            .into_bytes()
    }
}
