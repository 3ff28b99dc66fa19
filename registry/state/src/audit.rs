//! The hash-chained record of changes of trust: bounded, its dropped beginning represented by the hash it ended with.

use std::collections::VecDeque;

use holdfast_domain::{Sha256Hash, UnixMs};
use serde::{Deserialize, Serialize};

use crate::limits;

/// One change of trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Number of the command that made it.
    pub index: u64,
    /// The state's clock.
    pub time: UnixMs,
    /// What happened, in one line.
    pub what: String,
    /// Hash over the record before this one and this record's own fields.
    pub hash: Sha256Hash,
}

/// The kept records, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Hash of the last record that was dropped; zero before.
    anchor: Sha256Hash,
    records: VecDeque<AuditRecord>,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self { anchor: Sha256Hash::new([0; 32]), records: VecDeque::new() }
    }
}

impl AuditLog {
    /// Hash of the newest record.
    pub fn head(&self) -> Sha256Hash {
        self.records.back().map_or(self.anchor, |record| record.hash)
    }

    /// Records from an index on, oldest first.
    pub fn from(&self, index: u64) -> impl Iterator<Item = &AuditRecord> {
        self.records.iter().filter(move |record| record.index >= index)
    }

    /// Whether every kept record continues the one before it.
    pub fn is_whole(&self) -> bool {
        let mut previous = self.anchor;
        self.records.iter().all(|record| {
            let AuditRecord { index, time, what, hash } = record;
            let expected = chain(previous, *index, *time, what);
            previous = *hash;
            expected == *hash
        })
    }

    pub(crate) fn push(&mut self, index: u64, time: UnixMs, what: String) {
        let hash = chain(self.head(), index, time, &what);
        self.records.push_back(AuditRecord { index, time, what, hash });
        if self.records.len() > limits::MAX_AUDIT
            && let Some(dropped) = self.records.pop_front()
        {
            self.anchor = dropped.hash;
        }
    }
}

fn chain(previous: Sha256Hash, index: u64, time: UnixMs, what: &str) -> Sha256Hash {
    let mut bytes = b"holdfast/registry-audit/1".to_vec();
    bytes.extend_from_slice(previous.as_bytes());
    bytes.extend_from_slice(&index.to_be_bytes());
    bytes.extend_from_slice(&time.0.to_be_bytes());
    bytes.extend_from_slice(what.as_bytes());
    Sha256Hash::of(&bytes)
}
