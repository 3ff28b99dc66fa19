//! Making an upload visible: its content is read back and hashed first, as replicas hold it, not as it came in.

use futures::{StreamExt as _, TryStreamExt as _};
use holdfast_domain::{CommandId, Reason, Sha256Hash, UploadId};
use holdfast_files_api::v1::FileInfo;
use holdfast_sys_core::{
    Refusal,
    module::{ContentId, Op, Partition, Precondition, Upload},
};
use sha2::{Digest as _, Sha256};

use crate::{
    get::chunks,
    homes::Home,
    limits::DONE_RING,
    rows::{Body, DoneRow, FileRow, UploadTag, decode, encode},
    transact::{Change, Plan, transact},
    usage::Usage,
};

/// Checks and publishes an upload.
///
/// # Errors
/// `UploadUnknown`, `UploadIncomplete` when parts are missing or were left behind by a move of the slot, `HashMismatch` after which the upload is gone.
pub(crate) async fn run(
    partition: &dyn Partition,
    home: &Home,
    command: CommandId,
    upload: UploadId,
    sha256: Sha256Hash,
) -> Result<FileInfo, Refusal> {
    let Some(found) = partition.upload(upload).await? else { return finished(partition, upload).await };
    if found.durable_bytes < found.size {
        return Err(Reason::UploadIncomplete.into());
    }
    if content_hash(partition, &found).await? != sha256 {
        transact(partition, home, follow_up(command), &Abandon { upload }).await?;
        return Err(Reason::HashMismatch.into());
    }
    transact(partition, home, command, &Publish { upload, sha256 }).await
}

async fn content_hash(partition: &dyn Partition, upload: &Upload) -> Result<Sha256Hash, Refusal> {
    let mut hash = Sha256::new();
    if upload.size > 0 {
        let content = partition.open(ContentId::Staged(upload.upload)).await?;
        let mut chunks = chunks(content, 0).boxed();
        while let Some(chunk) = chunks.try_next().await? {
            hash.update(&chunk);
        }
    }
    Ok(Sha256Hash::new(hash.finalize().into()))
}

/// The answer of a commit that was applied before, from the ring of finished uploads.
async fn finished(partition: &dyn Partition, upload: UploadId) -> Result<FileInfo, Refusal> {
    let ring = DoneRow::ring()?;
    let places = usize::try_from(DONE_RING).unwrap_or(usize::MAX);
    let mut cursor = None;
    loop {
        let page = partition.list(&ring, cursor.as_ref(), places).await?;
        for row in page.rows {
            let done: DoneRow = decode(&row.value)?;
            if done.upload == upload {
                return Ok(done.info());
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Err(Reason::UploadUnknown.into());
        }
    }
}

/// Another command id for what follows from a command, so that the client's own stays unused.
fn follow_up(command: CommandId) -> CommandId {
    let digest = Sha256::new().chain_update(b"files/abandon/v1").chain_update(command.as_bytes()).finalize();
    let mut id = [0; CommandId::LEN];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    CommandId::new(id)
}

struct Publish {
    upload: UploadId,
    sha256: Sha256Hash,
}

impl Change for Publish {
    type Reply = FileInfo;

    async fn plan(&self, partition: &dyn Partition, usage: &mut Usage) -> Result<Plan<FileInfo>, Refusal> {
        let Some(upload) = partition.upload(self.upload).await? else {
            return finished(partition, self.upload).await.map(Plan::Nothing);
        };
        let UploadTag { name } = decode(&upload.tag)?;
        // Without content there is nothing to publish.
        let (body, end) = match upload.size {
            0 => (Body::Inline(Vec::new()), Op::DropUpload(self.upload)),
            _ => (Body::Chunks(upload.file), Op::PublishUpload(self.upload)),
        };
        let (size, sha256, modified) = (upload.size, self.sha256, partition.now());
        let done = DoneRow { upload: self.upload, name: name.clone(), size, sha256, modified };
        let remember = Op::Put { key: DoneRow::key(usage.done)?, value: encode(&done)? };
        usage.done = usage.done.wrapping_add(1);
        usage.reserved_bytes = usage.reserved_bytes.saturating_sub(size);
        let row = FileRow { name, size, sha256, modified, body };
        let (precondition, mut ops) = replace(partition, usage, &row).await?;
        ops.extend([end, remember]);
        Ok(Plan::Commit { preconditions: vec![precondition], ops, reply: row.info() })
    }

    async fn applied_before(&self, partition: &dyn Partition) -> Result<FileInfo, Refusal> {
        finished(partition, self.upload).await
    }
}

/// Writes a file's record in place of what had its name, and counts it.
pub(crate) async fn replace(
    partition: &dyn Partition,
    usage: &mut Usage,
    row: &FileRow,
) -> Result<(Precondition, Vec<Op>), Refusal> {
    let key = row.name.key()?;
    let mut ops = vec![Op::Put { key: key.clone(), value: encode(row)? }];
    let old = FileRow::read(partition, &row.name).await?;
    usage.replace(old.as_ref().map(|(old, _)| old.size), row.size);
    let Some((old, version)) = old else { return Ok((Precondition::Absent(key), ops)) };
    if let Body::Chunks(file) = old.body {
        ops.push(Op::DropContent(file));
    }
    Ok((Precondition::Is(key, version), ops))
}

/// Gives up an upload whose content is not what was promised.
struct Abandon {
    upload: UploadId,
}

impl Change for Abandon {
    type Reply = ();

    async fn plan(&self, partition: &dyn Partition, usage: &mut Usage) -> Result<Plan<()>, Refusal> {
        let Some(upload) = partition.upload(self.upload).await? else { return Ok(Plan::Nothing(())) };
        usage.reserved_bytes = usage.reserved_bytes.saturating_sub(upload.size);
        let ops = vec![Op::DropUpload(self.upload)];
        Ok(Plan::Commit { preconditions: Vec::new(), ops, reply: () })
    }

    async fn applied_before(&self, _: &dyn Partition) -> Result<(), Refusal> {
        Ok(())
    }
}
