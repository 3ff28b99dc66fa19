//! Rows that were read or written lately, deleted ones included.

use bytes::Bytes;
use quick_cache::{
    Weighter,
    sync::{Cache, GuardResult},
};

use super::super::{EngineError, Op};

/// Bytes beside key and value that a row costs in memory, about.
const ROW_OVERHEAD: usize = 160;
/// What a row is taken to weigh when the table is laid out.
const TYPICAL_ROW: u64 = 512;

pub(super) struct RowCache(Cache<Bytes, Option<Bytes>, ByBytes>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Bytes, Option<Bytes>> for ByBytes {
    fn weight(&self, key: &Bytes, value: &Option<Bytes>) -> u64 {
        let bytes =
            key.len().saturating_add(value.as_ref().map_or(0, Bytes::len)).saturating_add(ROW_OVERHEAD);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl RowCache {
    pub(super) fn new(bytes: u64) -> Self {
        let rows = usize::try_from(bytes / TYPICAL_ROW).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(rows, bytes, ByBytes))
    }

    /// `None` when it is not known here.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.0.get(key)
    }

    /// A row from here, or else from `look`. A write that comes between the look and its end is what stays.
    pub(super) fn get_or(
        &self,
        key: &[u8],
        look: impl FnOnce() -> Result<Option<Bytes>, EngineError>,
    ) -> Result<Option<Bytes>, EngineError> {
        match self.0.get_value_or_guard(&Bytes::copy_from_slice(key), None) {
            GuardResult::Value(row) => Ok(row),
            GuardResult::Guard(guard) => {
                let row = look()?;
                // Refused when a write came between.
                let _ = guard.insert(row.clone());
                Ok(row)
            }
            // Without a limit nobody's patience ends.
            GuardResult::Timeout => look(),
        }
    }

    /// A row changes. Copied: what is written is often a part of a buffer that would stay as long as its smallest row.
    pub(super) fn put(&self, op: &Op) {
        let value = match op {
            Op::Put { value, .. } => Some(Bytes::copy_from_slice(value)),
            Op::Delete { .. } => None,
        };
        self.0.insert(Bytes::copy_from_slice(op.key()), value);
    }
}
