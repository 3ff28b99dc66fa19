//! A set of changes that happens entirely or not at all.

use bytes::Bytes;

use super::EngineError;
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_OPS, MAX_KEY_BYTES, MAX_VALUE_BYTES};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put {
        /// The key.
        key: Bytes,
        /// The new value.
        value: Bytes,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The key.
        key: Bytes,
    },
}

impl Op {
    /// The key that changes.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len().saturating_add(value.len()),
            Self::Delete { key } => key.len(),
        }
    }
}

/// Changes for [`super::Engine::write`]; the last one of a key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(Op::Put { key: key.into(), value: value.into() });
    }

    /// Adds a deletion.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.push(Op::Delete { key: key.into() });
    }

    /// Adds a change.
    pub fn push(&mut self, op: Op) {
        self.bytes = self.bytes.saturating_add(op.size());
        self.ops.push(op);
    }

    /// The changes in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Key and value bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes
    }

    pub(super) fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// Refuses what the engines must not be given.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        if self.ops.len() > MAX_BATCH_OPS || self.bytes > MAX_BATCH_BYTES {
            return Err(EngineError::BatchTooLarge { ops: self.ops.len(), bytes: self.bytes });
        }
        for op in &self.ops {
            if op.key().len() > MAX_KEY_BYTES {
                return Err(EngineError::KeyTooLong { len: op.key().len() });
            }
            if let Op::Put { value, .. } = op
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(EngineError::ValueTooLarge { len: value.len() });
            }
        }
        Ok(())
    }
}

impl FromIterator<Op> for Batch {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        let mut batch = Self::new();
        ops.into_iter().for_each(|op| batch.push(op));
        batch
    }
}
