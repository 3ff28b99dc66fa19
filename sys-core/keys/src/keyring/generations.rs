//! Generations of one key: the newest is for new data, older ones read what is not yet rewritten.

use std::collections::BTreeMap;

use holdfast_domain::KeyGeneration;

use crate::{entropy::EntropyError, secret::SecretKey};

/// Most generations that are alive at once; a rotation waits for the oldest to retire.
pub const MAX_GENERATIONS: usize = 8;

/// Why a generation cannot be added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// No randomness for the new key.
    #[error("no new key")]
    Entropy(#[source] EntropyError),
    /// [`MAX_GENERATIONS`] are alive.
    #[error("{MAX_GENERATIONS} generations are alive: retire the oldest first")]
    TooMany,
    /// The number does not exceed the newest one.
    #[error("generation {0} is not newer than the newest")]
    NotNewer(KeyGeneration),
    /// The newest generation is in use and cannot retire.
    #[error("generation {0} is the newest and cannot retire")]
    InUse(KeyGeneration),
    /// There is no such generation.
    #[error("generation {0} is not in the keyring")]
    Unknown(KeyGeneration),
    /// A list without any generation.
    #[error("no generation at all")]
    Empty,
}

/// Keys by generation; never empty.
pub struct Generations<K> {
    older: BTreeMap<KeyGeneration, K>,
    newest: (KeyGeneration, K),
}

impl<K: SecretKey> Generations<K> {
    /// The first generation.
    pub fn first(generation: KeyGeneration, key: K) -> Self {
        Self { older: BTreeMap::new(), newest: (generation, key) }
    }

    /// The generation for new data.
    pub fn newest(&self) -> (KeyGeneration, &K) {
        (self.newest.0, &self.newest.1)
    }

    /// The key of a generation, if it is still alive.
    pub fn get(&self, generation: KeyGeneration) -> Option<&K> {
        if generation == self.newest.0 { Some(&self.newest.1) } else { self.older.get(&generation) }
    }

    /// All generations, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (KeyGeneration, &K)> {
        self.older.iter().map(|(generation, key)| (*generation, key)).chain([self.newest()])
    }

    /// Number of generations alive, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.older.len() + 1
    }

    /// Adds a newer generation, which new data uses from now on.
    ///
    /// # Errors
    /// When it is not newer than the newest, or [`MAX_GENERATIONS`] are alive.
    pub fn push(&mut self, generation: KeyGeneration, key: K) -> Result<(), GenerationError> {
        if generation <= self.newest.0 {
            return Err(GenerationError::NotNewer(generation));
        }
        if self.len() >= MAX_GENERATIONS {
            return Err(GenerationError::TooMany);
        }
        let (before, key_before) = std::mem::replace(&mut self.newest, (generation, key));
        self.older.insert(before, key_before);
        Ok(())
    }

    /// Adds a newer generation with a fresh key.
    ///
    /// # Errors
    /// As [`Self::push`], or when the operating system gives no randomness.
    pub fn rotate(&mut self, generation: KeyGeneration) -> Result<(), GenerationError> {
        self.push(generation, K::generate().map_err(GenerationError::Entropy)?)
    }

    /// Forgets an older generation, after a committed fence said that nothing uses it.
    ///
    /// # Errors
    /// For the newest generation and for one that is not there.
    pub fn retire(&mut self, generation: KeyGeneration) -> Result<(), GenerationError> {
        if generation == self.newest.0 {
            return Err(GenerationError::InUse(generation));
        }
        self.older.remove(&generation).map(drop).ok_or(GenerationError::Unknown(generation))
    }
}
