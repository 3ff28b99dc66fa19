//! Beginning an upload, or finding it again.

use holdfast_domain::{Reason, UploadId};
use holdfast_sys_core::{
    Refusal,
    limits::MAX_UPLOADS,
    module::{Op, Partition, Upload, UploadSpec},
};

use crate::{
    limits::MAX_FILE_BYTES,
    name::FileName,
    rows::{UploadTag, decode, encode},
    transact::{Change, Plan},
    usage::Usage,
};

/// The wish to upload; replies with the bytes that are durable already.
pub(crate) struct Begin {
    pub(crate) upload: UploadId,
    pub(crate) name: FileName,
    pub(crate) size: u64,
}

impl Begin {
    /// The upload with this id, if it is this one.
    fn same(&self, found: &Upload) -> Result<u64, Refusal> {
        let UploadTag { name } = decode(&found.tag)?;
        if name == self.name && found.size == self.size {
            Ok(found.durable_bytes)
        } else {
            Err(Refusal::new(Reason::Malformed).because("the upload id is in use for another file"))
        }
    }
}

impl Change for Begin {
    type Reply = u64;

    async fn plan(&self, partition: &dyn Partition, usage: &mut Usage) -> Result<Plan<u64>, Refusal> {
        if self.size > MAX_FILE_BYTES {
            return Err(Reason::QuotaExceeded.into());
        }
        if let Some(found) = partition.upload(self.upload).await? {
            return self.same(&found).map(Plan::Nothing);
        }
        let settled = usage.settle(partition).await?;
        if settled.live >= MAX_UPLOADS {
            return Err(Refusal::new(Reason::Overloaded).because("too many uploads under way"));
        }
        usage.reserved_bytes = usage.reserved_bytes.saturating_add(self.size);
        usage.check(partition.quota_bytes())?;
        let mut ops = settled.drops;
        let tag = encode(&UploadTag { name: self.name.clone() })?;
        ops.push(Op::BeginUpload(UploadSpec { upload: self.upload, size: self.size, tag }));
        Ok(Plan::Commit { preconditions: Vec::new(), ops, reply: 0 })
    }

    async fn applied_before(&self, partition: &dyn Partition) -> Result<u64, Refusal> {
        let found = partition.upload(self.upload).await?.ok_or(Reason::UploadUnknown)?;
        self.same(&found)
    }
}
