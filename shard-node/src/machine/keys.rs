//! The group's DMK, and the contexts under which keyrings are sealed.

use std::fmt;

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
    masters: Generations<Dmk>,
}

/// Says whose keys they are, never what they are.
impl fmt::Debug for GroupKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKeys({}, group {})", self.cluster, self.group)
    }
}

impl GroupKeys {
    /// With the group's DMK of one generation.
    pub fn new(cluster: ClusterId, group: GroupId, generation: KeyGeneration, dmk: Dmk) -> Self {
        Self { cluster, group, masters: Generations::first(generation, dmk) }
    }

    /// Adds a newer DMK, for new keyrings.
    ///
    /// # Errors
    /// When it is not newer, or too many are alive.
    pub fn push(&mut self, generation: KeyGeneration, dmk: Dmk) -> Result<(), GenerationError> {
        self.masters.push(generation, dmk)
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
        let (generation, dmk) = self.masters.newest();
        let sealed = keyring.seal(dmk, &self.slot_context(slot, generation))?.into();
        Ok(SlotKeyringRow { generation, sealed })
    }

    pub(crate) fn open_slot(&self, slot: Slot, row: &SlotKeyringRow) -> Result<SlotKeyring, KeyringError> {
        let SlotKeyringRow { generation, sealed } = row;
        let dmk = self.masters.get(*generation).ok_or(GenerationError::Unknown(*generation))?;
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
