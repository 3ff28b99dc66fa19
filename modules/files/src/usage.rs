//! What an account uses and what its uploads under way may come to use.

use holdfast_domain::Reason;
use holdfast_sys_core::{
    Refusal,
    module::{Op, Partition, Precondition, RecordKey, Row},
};
use serde::{Deserialize, Serialize};

use crate::{
    limits::MAX_FILES,
    rows::{decode, encode, key},
};

/// The usage record of a home. Every change of a file changes it in the same command, so it is also what orders those changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Bytes of all files.
    pub(crate) used_bytes: u64,
    /// Number of files.
    pub(crate) files: u64,
    /// Declared bytes of uploads under way. Those that expire are given back by [`Usage::settle`], so this may be too much, never too little.
    pub(crate) reserved_bytes: u64,
    /// Uploads ever finished: the next place in the ring.
    pub(crate) done: u32,
}

impl Usage {
    fn key() -> Result<RecordKey, Refusal> {
        key([b"u".to_vec()])
    }

    /// The usage and the precondition that it is still the same.
    pub(crate) async fn read(partition: &dyn Partition) -> Result<(Self, Precondition), Refusal> {
        let key = Self::key()?;
        Ok(match partition.get(&key).await? {
            Some(Row { value, version, .. }) => (decode(&value)?, Precondition::Is(key, version)),
            None => (Self::default(), Precondition::Absent(key)),
        })
    }

    pub(crate) fn put(&self) -> Result<Op, Refusal> {
        Ok(Op::Put { key: Self::key()?, value: encode(self)? })
    }

    /// Counts a file in place of another or of none.
    pub(crate) fn replace(&mut self, old_bytes: Option<u64>, new_bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(old_bytes.unwrap_or(0)).saturating_add(new_bytes);
        self.files = self.files.saturating_add(u64::from(old_bytes.is_none()));
    }

    pub(crate) fn remove(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        self.files = self.files.saturating_sub(1);
    }

    /// Counts the uploads under way anew; the operations drop those that have expired.
    pub(crate) async fn settle(&mut self, partition: &dyn Partition) -> Result<Settled, Refusal> {
        let now = partition.now();
        let (expired, live): (Vec<_>, Vec<_>) =
            partition.uploads().await?.into_iter().partition(|upload| upload.expires <= now);
        self.reserved_bytes = live.iter().fold(0, |sum, upload| sum.saturating_add(upload.size));
        let drops = expired.iter().map(|upload| Op::DropUpload(upload.upload)).collect();
        Ok(Settled { live: live.len(), drops })
    }

    /// Whether files and uploads fit, in bytes and in number.
    pub(crate) fn check(&self, quota_bytes: u64) -> Result<(), Refusal> {
        let fits = self.used_bytes.saturating_add(self.reserved_bytes) <= quota_bytes;
        if fits && self.files <= MAX_FILES { Ok(()) } else { Err(Reason::QuotaExceeded.into()) }
    }
}

/// See [`Usage::settle`].
pub(crate) struct Settled {
    pub(crate) live: usize,
    pub(crate) drops: Vec<Op>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_content_have_a_limit_too() {
        let full = Usage { files: MAX_FILES, ..Usage::default() };
        assert!(full.check(0).is_ok());
        let mut over = full;
        over.replace(None, 0);
        assert_eq!(over.check(u64::MAX).unwrap_err().reason(), Reason::QuotaExceeded);
    }
}
