//! Offline reader of a copied data folder, for searching it: which keys protect what is in there.

use holdfast_domain::Slot;
use holdfast_keys::{PartitionKeyring, SlotKeyring};
use holdfast_store::{Engine, records::PartitionToken};

use crate::machine::{GroupKeys, StateError};

/// Every key of a group that its DMK opens.
pub struct GroupSecrets {
    /// SK, LK and DK of each slot.
    pub slots: Vec<(Slot, SlotKeyring)>,
    /// PDK and NK of each partition, every generation.
    pub partitions: Vec<(Slot, PartitionToken, PartitionKeyring)>,
}

/// Reads all keyrings of a group from an engine that nobody writes to.
///
/// # Errors
/// When a row does not read or open.
pub fn group_secrets(engine: &dyn Engine, keys: &GroupKeys) -> Result<GroupSecrets, StateError> {
    todo!()
}
