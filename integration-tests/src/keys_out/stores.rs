//! Keys in a node's store, read while nobody uses it.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use holdfast_domain::{ClusterId, KeyGeneration, Slot};
use holdfast_keys::{Dmk, PartitionKeyring, SlotKeyring};
use holdfast_shard_node::{
    inspect::{GroupSecrets, group_secrets},
    machine::GroupKeys,
};
use holdfast_store::{Engine, SledEngine, engine::SledOptions};

use super::RegistryKeys;

/// All keys below the groups' master keys, as bytes with what they are.
#[derive(Default)]
pub struct StoreKeys {
    /// SK, LK and DK of each slot.
    pub slots: Vec<(String, [u8; 32])>,
    /// PDK of each partition.
    pub data: Vec<(String, [u8; 32])>,
    /// NK of each partition.
    pub names: Vec<(String, [u8; 32])>,
}

impl StoreKeys {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(String, [u8; 32])> {
        self.slots.iter().chain(&self.data).chain(&self.names)
    }

    fn add_slot(&mut self, slot: Slot, keyring: &SlotKeyring) {
        let SlotKeyring { slot: sk, locator, digest } = keyring;
        let number = slot.number();
        self.slots.push((format!("SK of slot {number}"), *sk.expose_for_wrapping()));
        self.slots.push((format!("LK of slot {number}"), *locator.expose_for_wrapping()));
        self.slots.push((format!("DK of slot {number}"), *digest.expose_for_wrapping()));
    }

    fn add_partition(&mut self, slot: Slot, keyring: &PartitionKeyring) {
        let PartitionKeyring { data, names } = keyring;
        let number = slot.number();
        for (KeyGeneration(generation), key) in data.iter() {
            self.data.push((format!("PDK {generation} in slot {number}"), *key.expose_for_wrapping()));
        }
        for (KeyGeneration(generation), key) in names.iter() {
            self.names.push((format!("NK {generation} in slot {number}"), *key.expose_for_wrapping()));
        }
    }
}

/// Opens a copy of the store of a stopped node with every group's key, and takes every keyring out of it.
///
/// # Errors
/// The store or a keyring in it does not open.
pub fn store_keys(data: &Path, registry: &RegistryKeys) -> anyhow::Result<StoreKeys> {
    let copy = tempfile::tempdir().context("a folder for a copy")?;
    copy_folder(&data.join("state"), copy.path()).context("copying a store")?;
    let engine = SledEngine::open(copy.path(), &SledOptions::default()).context("opening a store")?;
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let mut keys = StoreKeys::default();
    for (group, generations) in registry.by_group() {
        let group_keys = group_keys(registry.cluster, group, &generations)?;
        let secrets =
            group_secrets(Arc::clone(&engine), group_keys).with_context(|| format!("group {group}"))?;
        let GroupSecrets { slots, partitions } = secrets;
        slots.iter().for_each(|(slot, keyring)| keys.add_slot(*slot, keyring));
        partitions.iter().for_each(|(slot, _, keyring)| keys.add_partition(*slot, keyring));
    }
    Ok(keys)
}

fn group_keys(
    cluster: ClusterId,
    group: holdfast_domain::GroupId,
    generations: &[(KeyGeneration, &Dmk)],
) -> anyhow::Result<GroupKeys> {
    let copy = |dmk: &Dmk| Dmk::from_bytes(*dmk.expose_for_wrapping());
    let ((first, dmk), later) = generations.split_first().context("a group without a key")?;
    let keys = GroupKeys::new(cluster, group, *first, copy(dmk));
    for (generation, dmk) in later {
        keys.push(*generation, copy(dmk))?;
    }
    Ok(keys)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
