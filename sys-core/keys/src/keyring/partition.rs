//! The keys of one partition.

use holdfast_domain::KeyGeneration;
use zeroize::Zeroizing;

use super::{GenerationError, Generations, KeyringError, MAX_GENERATIONS};
use crate::{
    entropy::EntropyError,
    labels,
    secret::{DataKey, KEY_LEN, NameKey, SecretKey, SlotKey},
};

/// Bytes of one generation in a sealed keyring: its number and its key.
const ENTRY_LEN: usize = 4 + KEY_LEN;

/// PDK and NK of one partition, with independent generations.
pub struct PartitionKeyring {
    /// Data keys: values.
    pub data: Generations<DataKey>,
    /// Name keys: tokens.
    pub names: Generations<NameKey>,
}

impl PartitionKeyring {
    /// Fresh keys for a new partition, both in the given generation.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(generation: KeyGeneration) -> Result<Self, EntropyError> {
        Ok(Self {
            data: Generations::first(generation, DataKey::generate()?),
            names: Generations::first(generation, NameKey::generate()?),
        })
    }

    /// Seals the keyring. `context` names cluster, slot and partition, unambiguously.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn seal(&self, slot: &SlotKey, context: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let Self { data, names } = self;
        // Reserved in full, so that growing leaves no copy of a key behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(2 + 2 * MAX_GENERATIONS * ENTRY_LEN));
        write(&mut plain, data)?;
        write(&mut plain, names)?;
        super::seal(slot, labels::PARTITION_KEYRING, context, &plain)
    }

    /// Opens a keyring that was sealed under the same slot key and context.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn open(slot: &SlotKey, context: &[u8], sealed: &[u8]) -> Result<Self, KeyringError> {
        let plain = super::open(slot, labels::PARTITION_KEYRING, context, sealed)?;
        let (data, rest) = read(&plain)?;
        let (names, rest) = read(rest)?;
        if rest.is_empty() { Ok(Self { data, names }) } else { Err(KeyringError::Malformed) }
    }
}

/// `count ‖ (generation ‖ key)…`, oldest first.
fn write<K: SecretKey>(plain: &mut Vec<u8>, keys: &Generations<K>) -> Result<(), KeyringError> {
    plain.push(u8::try_from(keys.len()).map_err(|_| GenerationError::TooMany)?);
    for (generation, key) in keys.iter() {
        plain.extend_from_slice(&generation.0.to_be_bytes());
        plain.extend_from_slice(key.expose_for_wrapping());
    }
    Ok(())
}

fn read<K: SecretKey>(bytes: &[u8]) -> Result<(Generations<K>, &[u8]), KeyringError> {
    let (&count, rest) = bytes.split_first().ok_or(KeyringError::Malformed)?;
    let (entries, rest) =
        rest.split_at_checked(usize::from(count) * ENTRY_LEN).ok_or(KeyringError::Malformed)?;
    let (entries, _) = entries.as_chunks::<ENTRY_LEN>();
    let (first, later) = entries.split_first().ok_or(GenerationError::Empty)?;
    let (generation, key) = entry(first)?;
    let mut keys = Generations::first(generation, key);
    for bytes in later {
        let (generation, key) = entry(bytes)?;
        keys.push(generation, key)?;
    }
    Ok((keys, rest))
}

fn entry<K: SecretKey>(bytes: &[u8; ENTRY_LEN]) -> Result<(KeyGeneration, K), KeyringError> {
    let (generation, key) = bytes.split_first_chunk().ok_or(KeyringError::Malformed)?;
    let key: Zeroizing<[u8; KEY_LEN]> = Zeroizing::new(key.try_into().map_err(|_| KeyringError::Malformed)?);
    Ok((KeyGeneration(u32::from_be_bytes(*generation)), K::from_bytes(*key)))
}
