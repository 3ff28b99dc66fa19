//! Record keys: `slot ‖ tablespace ‖ ptok ‖ kind ‖ n ‖ tok_1 ‖ … ‖ [ordered component]`, numbers big-endian.

use bytes::Bytes;
use holdfast_domain::Slot;

use crate::{
    engine::KeyRange,
    limits::{MAX_COMPONENTS, MAX_ORDERED_BYTES},
};

/// Length of a token.
pub const TOKEN_LEN: usize = 16;

/// A module's table; numbers are unique in a cluster and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tablespace(pub u32);

/// Which rows of a tablespace: the records themselves or one of its indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKind(pub u8);

impl RowKind {
    /// The records themselves.
    pub const PRIMARY: Self = Self(0);
}

/// Stands for a partition in keys; see [`super::partition_token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionToken(pub [u8; TOKEN_LEN]);

/// Stands for the first components of a name; see [`super::Tokenizer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; TOKEN_LEN]);

/// Bytes that are not a record key, or parts that do not make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Ends before its tokens do.
    #[error("a record key of {0} bytes is too short")]
    Truncated(usize),
    /// No such slot.
    #[error("record key with slot {0}")]
    Slot(u16),
    /// More name components than allowed.
    #[error("{0} name components exceed the limit of {MAX_COMPONENTS}")]
    TooManyComponents(usize),
    /// A prefix with more tokens than the rows it should find.
    #[error("{tokens} tokens cannot be a prefix of rows with {of}")]
    NotAPrefix {
        /// Tokens of the prefix.
        tokens: usize,
        /// Tokens of the rows.
        of: usize,
    },
    /// The ordered component is too long.
    #[error("an ordered component of {0} bytes exceeds the limit of {MAX_ORDERED_BYTES}")]
    OrderedTooLong(usize),
}

/// The part of a key that all rows of one kind, tablespace and partition share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordScope {
    /// Slot of the home.
    pub slot: Slot,
    /// The module's table.
    pub tablespace: Tablespace,
    /// The home, hidden.
    pub partition: PartitionToken,
    /// Records or index.
    pub kind: RowKind,
}

impl RecordScope {
    const LEN: usize = 2 + 4 + TOKEN_LEN + 1;

    /// Every row of the slot.
    pub fn slot_range(slot: Slot) -> KeyRange {
        KeyRange::prefix(slot.number().to_be_bytes().to_vec())
    }

    /// Every row of this scope.
    pub fn range(&self) -> KeyRange {
        KeyRange::prefix(self.write())
    }

    /// The key of a row.
    ///
    /// # Errors
    /// For too many components or a long ordered one.
    pub fn key(&self, tokens: &[Token], ordered: &[u8]) -> Result<RecordKey, KeyError> {
        if ordered.len() > MAX_ORDERED_BYTES {
            return Err(KeyError::OrderedTooLong(ordered.len()));
        }
        let mut bytes = self.prefix(tokens.len(), tokens)?;
        bytes.extend_from_slice(ordered);
        Ok(RecordKey { bytes: bytes.into(), scope: *self, tokens: tokens.len() })
    }

    /// The rows with `of` components of which the first have these tokens, in the order of the remaining tokens and of
    /// the ordered component.
    ///
    /// # Errors
    /// For more tokens than `of`, or too many of them.
    pub fn list(&self, of: usize, tokens: &[Token]) -> Result<KeyRange, KeyError> {
        self.prefix(of, tokens).map(KeyRange::prefix)
    }

    fn prefix(&self, of: usize, tokens: &[Token]) -> Result<Vec<u8>, KeyError> {
        if of > MAX_COMPONENTS {
            return Err(KeyError::TooManyComponents(of));
        }
        if tokens.len() > of {
            return Err(KeyError::NotAPrefix { tokens: tokens.len(), of });
        }
        let mut bytes = self.write();
        bytes.push(u8::try_from(of).map_err(|_| KeyError::TooManyComponents(of))?);
        tokens.iter().for_each(|Token(token)| bytes.extend_from_slice(token));
        Ok(bytes)
    }

    fn write(&self) -> Vec<u8> {
        let Self {
            slot,
            tablespace: Tablespace(tablespace),
            partition: PartitionToken(partition),
            kind: RowKind(kind),
        } = self;
        let mut bytes = Vec::with_capacity(Self::LEN + 1 + MAX_COMPONENTS * TOKEN_LEN);
        bytes.extend_from_slice(&slot.number().to_be_bytes());
        bytes.extend_from_slice(&tablespace.to_be_bytes());
        bytes.extend_from_slice(partition);
        bytes.push(*kind);
        bytes
    }
}

/// The key of one row, without any prefix of the group that stores it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    bytes: Bytes,
    scope: RecordScope,
    tokens: usize,
}

impl RecordKey {
    /// Reads a key from disk or wire.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(bytes: Bytes) -> Result<Self, KeyError> {
        let truncated = KeyError::Truncated(bytes.len());
        let (slot, rest) = bytes.split_first_chunk().ok_or(truncated)?;
        let (tablespace, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (partition, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (&[kind, count], rest) = rest.split_first_chunk().ok_or(truncated)?;
        let number = u16::from_be_bytes(*slot);
        let scope = RecordScope {
            slot: Slot::try_from(number).map_err(|_| KeyError::Slot(number))?,
            tablespace: Tablespace(u32::from_be_bytes(*tablespace)),
            partition: PartitionToken(*partition),
            kind: RowKind(kind),
        };
        let tokens = usize::from(count);
        if tokens > MAX_COMPONENTS {
            return Err(KeyError::TooManyComponents(tokens));
        }
        let (_, ordered) = rest.split_at_checked(tokens * TOKEN_LEN).ok_or(truncated)?;
        if ordered.len() > MAX_ORDERED_BYTES {
            return Err(KeyError::OrderedTooLong(ordered.len()));
        }
        Ok(Self { bytes, scope, tokens })
    }

    /// The whole key.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Slot, tablespace, partition and kind.
    pub fn scope(&self) -> &RecordScope {
        &self.scope
    }

    /// The name's tokens.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        let (tokens, _) = self.name();
        let (tokens, _) = tokens.as_chunks();
        tokens.iter().copied().map(Token)
    }

    /// The ordered component; empty for most records.
    pub fn ordered(&self) -> &[u8] {
        self.name().1
    }

    /// Tokens and ordered component.
    fn name(&self) -> (&[u8], &[u8]) {
        let name = self.bytes.get(RecordScope::LEN + 1..).unwrap_or_default();
        name.split_at_checked(self.tokens * TOKEN_LEN).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope() -> impl Strategy<Value = RecordScope> {
        (0..Slot::COUNT, any::<u32>(), any::<[u8; 16]>(), any::<u8>()).prop_map(
            |(slot, tablespace, partition, kind)| RecordScope {
                slot: slot.try_into().unwrap(),
                tablespace: Tablespace(tablespace),
                partition: PartitionToken(partition),
                kind: RowKind(kind),
            },
        )
    }

    fn tokens(max: usize) -> impl Strategy<Value = Vec<Token>> {
        prop::collection::vec(any::<[u8; 16]>().prop_map(Token), 0..=max)
    }

    proptest! {
        #[test]
        fn a_key_reads_back(scope in scope(), tokens in tokens(MAX_COMPONENTS), ordered in prop::collection::vec(any::<u8>(), 0..=MAX_ORDERED_BYTES)) {
            let key = scope.key(&tokens, &ordered).unwrap();
            let read = RecordKey::parse(key.as_bytes().clone()).unwrap();
            prop_assert_eq!(&read, &key);
            prop_assert_eq!(read.scope(), &scope);
            prop_assert_eq!(read.tokens().collect::<Vec<_>>(), tokens);
            prop_assert_eq!(read.ordered(), &*ordered);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_read_keys_are_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(key) = RecordKey::parse(bytes.clone().into()) {
                let tokens: Vec<_> = key.tokens().collect();
                let written = key.scope().key(&tokens, key.ordered()).unwrap();
                prop_assert_eq!(written.as_bytes(), &bytes);
            }
        }

        #[test]
        fn a_list_finds_the_rows_below_its_prefix_and_no_others(scope in scope(), tokens in tokens(4), other in tokens(4), cut in 0usize..4) {
            let prefix = &tokens[..cut.min(tokens.len())];
            let range = scope.list(tokens.len(), prefix).unwrap();
            prop_assert!(range.contains(scope.key(&tokens, b"x").unwrap().as_bytes()));
            let found = range.contains(scope.key(&other, b"").unwrap().as_bytes());
            prop_assert_eq!(found, other.len() == tokens.len() && other.starts_with(prefix));
        }
    }

    #[test]
    fn parts_above_their_limits_make_no_key() {
        let scope = RecordScope {
            slot: Slot::try_from(7).unwrap(),
            tablespace: Tablespace(1),
            partition: PartitionToken([1; 16]),
            kind: RowKind::PRIMARY,
        };
        let nine = [Token([0; 16]); MAX_COMPONENTS + 1];
        assert_eq!(scope.key(&nine, b""), Err(KeyError::TooManyComponents(9)));
        assert_eq!(scope.key(&[], &[0; 65]), Err(KeyError::OrderedTooLong(65)));
        assert_eq!(scope.list(1, &nine[..2]), Err(KeyError::NotAPrefix { tokens: 2, of: 1 }));
    }
}
