//! A small file in one call.

use bytes::Bytes;
use holdfast_domain::{Reason, Sha256Hash};
use holdfast_files_api::v1::FileInfo;
use holdfast_sys_core::{Refusal, module::Partition};

use crate::{
    commit::replace,
    limits::MAX_INLINE_BYTES,
    name::FileName,
    rows::{Body, FileRow},
    transact::{Change, Plan},
    usage::Usage,
};

/// Content that fits in its record and has the promised hash.
pub(crate) struct PutSmall {
    name: FileName,
    data: Bytes,
    sha256: Sha256Hash,
}

impl PutSmall {
    pub(crate) fn new(name: FileName, data: Bytes, sha256: Sha256Hash) -> Result<Self, Refusal> {
        if data.len() > MAX_INLINE_BYTES {
            return Err(Reason::Malformed.into());
        }
        if Sha256Hash::of(&data) != sha256 {
            return Err(Reason::HashMismatch.into());
        }
        Ok(Self { name, data, sha256 })
    }
}

impl PutSmall {
    fn row(&self, partition: &dyn Partition) -> FileRow {
        FileRow {
            name: self.name.clone(),
            size: u64::try_from(self.data.len()).unwrap_or(u64::MAX),
            sha256: self.sha256,
            modified: partition.now(),
            body: Body::Inline(self.data.to_vec()),
        }
    }
}

impl Change for PutSmall {
    type Reply = FileInfo;

    async fn plan(&self, partition: &dyn Partition, usage: &mut Usage) -> Result<Plan<FileInfo>, Refusal> {
        let row = self.row(partition);
        let (precondition, mut ops) = replace(partition, usage, &row).await?;
        if usage.check(partition.quota_bytes()).is_err() {
            // Uploads that have expired may still be counted.
            ops.extend(usage.settle(partition).await?.drops);
            usage.check(partition.quota_bytes())?;
        }
        Ok(Plan::Commit { preconditions: vec![precondition], ops, reply: row.info() })
    }

    async fn applied_before(&self, partition: &dyn Partition) -> Result<FileInfo, Refusal> {
        // Not what is there now: somebody may have replaced or removed it since, and what this call asked for did happen.
        Ok(self.row(partition).info())
    }
}
