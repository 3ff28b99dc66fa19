//! Seals and opens the records of one tablespace in one partition.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_domain::{ClusterId, KeyGeneration, Slot, codec};
use holdfast_keys::{
    AeadError, PartitionKeyring,
    aead::{self, Cipher, NonceBatch},
    derive,
};
use serde::{Deserialize, Serialize};

use super::{
    KeyError, PartitionToken, RecordKey, RecordScope, RecordVersion, RowKind, StoredError, StoredRecord,
    Tablespace, TokenError, Tokenizer, stored::SUITE,
};
use crate::limits::MAX_HEAD_BYTES;

/// The name under which one kind of rows derives its token key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexName {
    /// The rows.
    pub kind: RowKind,
    /// The name in the derivation.
    pub name: &'static str,
}

/// A table as its module declares it. Names and numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablespaceSpec {
    /// Number in record keys.
    pub id: Tablespace,
    /// Module in key derivations.
    pub module: &'static str,
    /// Tablespace in key derivations.
    pub name: &'static str,
    /// Its indexes; [`RowKind::PRIMARY`] is always there.
    pub indexes: &'static [IndexName],
}

/// What policies and filters may see of a record, and the plaintext of its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// The name's components, checked against the key's tokens on read.
    pub components: Vec<Vec<u8>>,
    /// The fields, in the module's own encoding.
    pub fields: Vec<u8>,
}

/// Why a record was not sealed, found or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The name makes no tokens.
    #[error("not a record name")]
    Name(#[from] TokenError),
    /// The tokens make no key.
    #[error("not a record key")]
    Key(#[from] KeyError),
    /// The parts make no value.
    #[error("not a stored record")]
    Stored(#[from] StoredError),
    /// The data key generation is not in the keyring: retired, shredded or not here yet.
    #[error("data key generation {0} is not in the keyring")]
    UnknownGeneration(KeyGeneration),
    /// The tablespace declares no such rows.
    #[error("row kind {} is not declared", _0.0)]
    UnknownKind(RowKind),
    /// The key belongs to another slot, tablespace or partition.
    #[error("the key is outside of this tablespace and partition")]
    OtherScope,
    /// Sealing failed, or the record is not what was sealed under this key, version and generation.
    #[error("the record was refused")]
    Refused(#[from] AeadError),
    /// The head is authentic and names another key: the row was stored under tokens that are not its name's.
    #[error("the record does not belong to its key")]
    NameMismatch,
    /// The head is authentic and no head.
    #[error("the head is malformed")]
    Head(#[from] codec::CodecError),
}

/// An opened record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedRecord {
    /// Its head.
    pub head: Head,
    /// Its body, in the module's own encoding.
    pub body: Vec<u8>,
}

/// A key to look up, with the name key generation that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedKey {
    /// Generation of the name key.
    pub generation: KeyGeneration,
    /// The key.
    pub key: RecordKey,
}

/// A name with the keys under which a record of it may be, oldest name key first; never empty. A new record goes under the last.
///
/// Only a codec makes one, and for that codec alone it spares working the tokens out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    kind: RowKind,
    components: Vec<Vec<u8>>,
    keys: Vec<RecordKey>,
}

/// The keys of one tablespace in one partition, ready for use.
pub struct RecordCodec {
    cluster: ClusterId,
    slot: Slot,
    partition: PartitionToken,
    tablespace: Tablespace,
    newest: KeyGeneration,
    ciphers: BTreeMap<KeyGeneration, Cipher>,
    tokenizers: BTreeMap<RowKind, BTreeMap<KeyGeneration, Tokenizer>>,
}

impl RecordCodec {
    /// Derives the keys of a tablespace from a partition's keyring.
    pub fn new(
        cluster: ClusterId,
        slot: Slot,
        partition: PartitionToken,
        spec: &TablespaceSpec,
        keyring: &PartitionKeyring,
    ) -> Self {
        let TablespaceSpec { id, module, name, indexes } = spec;
        let primary = IndexName { kind: RowKind::PRIMARY, name: "" };
        let tokenizers = indexes.iter().chain([&primary]).map(|index| {
            let keys = keyring.names.iter().map(|(generation, key)| {
                (generation, Tokenizer::new(&derive::name_key(key, module, name, index.name)))
            });
            (index.kind, keys.collect())
        });
        let ciphers = keyring
            .data
            .iter()
            .map(|(generation, key)| (generation, Cipher::new(&derive::value_key(key, module, name))));
        Self {
            cluster,
            slot,
            partition,
            tablespace: *id,
            newest: keyring.data.newest().0,
            ciphers: ciphers.collect(),
            tokenizers: tokenizers.collect(),
        }
    }

    /// The scope of one kind of rows.
    pub fn scope(&self, kind: RowKind) -> RecordScope {
        let Self { slot, partition, tablespace, .. } = *self;
        RecordScope { slot, tablespace, partition, kind }
    }

    /// The data key generation that seals new values.
    pub fn newest_generation(&self) -> KeyGeneration {
        self.newest
    }

    /// Tokenizers of one kind of rows, oldest generation first: rows move from old to new tokens only, so reads look
    /// at the old place first. New rows go under the last.
    ///
    /// # Errors
    /// [`RecordError::UnknownKind`].
    pub fn tokenizers(
        &self,
        kind: RowKind,
    ) -> Result<impl DoubleEndedIterator<Item = (KeyGeneration, &Tokenizer)>, RecordError> {
        let generations = self.tokenizers.get(&kind).ok_or(RecordError::UnknownKind(kind))?;
        Ok(generations.iter().map(|(generation, tokenizer)| (*generation, tokenizer)))
    }

    /// The keys under which a name may be stored, oldest name key first; a new row goes under the last.
    ///
    /// # Errors
    /// For a name that makes no key.
    pub fn keys<C: AsRef<[u8]>>(
        &self,
        kind: RowKind,
        components: &[C],
        ordered: &[u8],
    ) -> Result<Vec<VersionedKey>, RecordError> {
        let scope = self.scope(kind);
        self.tokenizers(kind)?
            .map(|(generation, tokenizer)| {
                Ok(VersionedKey { generation, key: scope.key(&tokenizer.tokens(components)?, ordered)? })
            })
            .collect()
    }

    /// The key under which a new row of this name goes.
    ///
    /// # Errors
    /// For a name that makes no key.
    pub fn key<C: AsRef<[u8]>>(
        &self,
        kind: RowKind,
        components: &[C],
        ordered: &[u8],
    ) -> Result<RecordKey, RecordError> {
        let (_, tokenizer) = self.tokenizers(kind)?.next_back().ok_or(RecordError::UnknownKind(kind))?;
        Ok(self.scope(kind).key(&tokenizer.tokens(components)?, ordered)?)
    }

    /// A name with its keys.
    ///
    /// # Errors
    /// For a name that makes no key.
    pub fn named<C: AsRef<[u8]>>(&self, kind: RowKind, components: &[C]) -> Result<Named, RecordError> {
        let keys: Vec<_> =
            self.keys(kind, components, b"")?.into_iter().map(|versioned| versioned.key).collect();
        if keys.is_empty() {
            return Err(RecordError::UnknownKind(kind));
        }
        let components = components.iter().map(|component| component.as_ref().to_vec()).collect();
        Ok(Named { kind, components, keys })
    }

    /// As [`Self::seal`], under the newest key of a name of this codec, without fields.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_named(
        &self,
        nonces: &mut NonceBatch,
        named: &Named,
        version: RecordVersion,
        body: &[u8],
    ) -> Result<StoredRecord, RecordError> {
        let key = named.newest()?;
        self.check_scope(key)?;
        let head = Head { components: named.components.clone(), fields: Vec::new() };
        self.seal_under(nonces, key, version, &head, body)
    }

    /// As [`Self::open`], of a record that was found under one of a name's keys.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open_named(
        &self,
        named: &Named,
        key: &RecordKey,
        record: &StoredRecord,
    ) -> Result<OpenedRecord, RecordError> {
        self.check_scope(key)?;
        let aad = self.aad(key, record.version(), record.generation());
        let head = self.head(&aad, record)?;
        // The key is made of this name's tokens: no other name belongs to it.
        if !named.keys.contains(key) || head.components != named.components {
            return Err(RecordError::NameMismatch);
        }
        Ok(OpenedRecord { head, body: self.body(&aad, record)? })
    }

    /// Seals a record under the newest data key. Takes two nonces of the batch.
    ///
    /// # Errors
    /// When the head does not name the key, or a part is too large.
    pub fn seal(
        &self,
        nonces: &mut NonceBatch,
        key: &RecordKey,
        version: RecordVersion,
        head: &Head,
        body: &[u8],
    ) -> Result<StoredRecord, RecordError> {
        self.check_name(key, head)?;
        self.seal_under(nonces, key, version, head, body)
    }

    fn seal_under(
        &self,
        nonces: &mut NonceBatch,
        key: &RecordKey,
        version: RecordVersion,
        head: &Head,
        body: &[u8],
    ) -> Result<StoredRecord, RecordError> {
        let generation = self.newest;
        let cipher = self.cipher(generation)?;
        let aad = self.aad(key, version, generation);
        let head = cipher.seal(nonces.take()?, &aad.head(), &codec::encode(head)?)?;
        let body = cipher.seal(nonces.take()?, &aad.body(&head)?, body)?;
        Ok(StoredRecord::assemble(version, generation, &head, &body)?)
    }

    /// Opens and checks the head: enough for policies, filters and lists.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open_head(&self, key: &RecordKey, record: &StoredRecord) -> Result<Head, RecordError> {
        let aad = self.aad(key, record.version(), record.generation());
        let head = self.head(&aad, record)?;
        self.check_name(key, &head)?;
        Ok(head)
    }

    fn head(&self, aad: &Aad, record: &StoredRecord) -> Result<Head, RecordError> {
        let plain = self.cipher(record.generation())?.open(&aad.head(), record.sealed_head())?;
        Ok(codec::decode(&plain, MAX_HEAD_BYTES)?)
    }

    fn body(&self, aad: &Aad, record: &StoredRecord) -> Result<Vec<u8>, RecordError> {
        let aad = aad.body(record.sealed_head())?;
        Ok(self.cipher(record.generation())?.open(&aad, record.sealed_body())?)
    }

    /// Opens head and body.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open(&self, key: &RecordKey, record: &StoredRecord) -> Result<OpenedRecord, RecordError> {
        let head = self.open_head(key, record)?;
        let aad = self.aad(key, record.version(), record.generation());
        Ok(OpenedRecord { head, body: self.body(&aad, record)? })
    }

    /// Parses and opens a row as it came from the engine.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open_row(
        &self,
        key: Bytes,
        value: Bytes,
    ) -> Result<(RecordKey, StoredRecord, OpenedRecord), RecordError> {
        let (key, record) = (RecordKey::parse(key)?, StoredRecord::parse(value)?);
        let opened = self.open(&key, &record)?;
        Ok((key, record, opened))
    }

    fn cipher(&self, generation: KeyGeneration) -> Result<&Cipher, RecordError> {
        self.ciphers.get(&generation).ok_or(RecordError::UnknownGeneration(generation))
    }

    fn check_scope(&self, key: &RecordKey) -> Result<(), RecordError> {
        if *key.scope() == self.scope(key.scope().kind) { Ok(()) } else { Err(RecordError::OtherScope) }
    }

    /// The key must be in this codec's scope and carry the tokens of the head's components, under any live name key.
    fn check_name(&self, key: &RecordKey, head: &Head) -> Result<(), RecordError> {
        self.check_scope(key)?;
        let kind = key.scope().kind;
        // Newest first: that is where most rows are.
        for (_, tokenizer) in self.tokenizers(kind)?.rev() {
            if tokenizer.tokens(&head.components)?.into_iter().eq(key.tokens()) {
                return Ok(());
            }
        }
        Err(RecordError::NameMismatch)
    }

    fn aad(&self, key: &RecordKey, version: RecordVersion, generation: KeyGeneration) -> Aad {
        let key = key.as_bytes();
        let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let rest = [
            self.cluster.as_bytes().as_slice(),
            &len.to_be_bytes(),
            key,
            &version.0.to_be_bytes(),
            &generation.0.to_be_bytes(),
        ];
        Aad { rest: rest.concat() }
    }
}

impl Named {
    /// The keys, oldest name key first.
    pub fn keys(&self) -> &[RecordKey] {
        &self.keys
    }

    /// What it names.
    pub fn kind(&self) -> RowKind {
        self.kind
    }

    /// The name.
    pub fn components(&self) -> &[Vec<u8>] {
        &self.components
    }

    /// The key under which a new record goes.
    ///
    /// # Errors
    /// Never, as there is one.
    pub fn newest(&self) -> Result<&RecordKey, RecordError> {
        self.keys.last().ok_or(RecordError::NameMismatch)
    }
}

/// What a record's seals authenticate besides their plaintext.
struct Aad {
    /// Everything after the part.
    rest: Vec<u8>,
}

impl Aad {
    const HEAD: u8 = 0;
    const BODY: u8 = 1;

    fn head(&self) -> Vec<u8> {
        self.part(Self::HEAD, &[])
    }

    fn body(&self, sealed_head: &[u8]) -> Result<Vec<u8>, AeadError> {
        Ok(self.part(Self::BODY, &aead::tag(sealed_head)?))
    }

    fn part(&self, part: u8, tail: &[u8]) -> Vec<u8> {
        [b"HFR1".as_slice(), &[SUITE, part], &self.rest, tail].concat()
    }
}

#[cfg(test)]
mod tests;
