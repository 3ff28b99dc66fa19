//! Housekeeping: expired uploads, pages and chunks of dead files, chunks that nothing names, segments that are mostly dead.
//!
//! Each round looks at a bounded number of rows and goes on from there in the next.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::{CommandId, FileId, Slot, UploadId};
use holdfast_keys::random_array;
use holdfast_store::{
    KeyRange, ScanLimit,
    records::{RecordError, StoredRecord},
};
use holdfast_sys_core::errors::Refusal;

use super::{Fate, rows::segment_upload};
use crate::{
    limits::{
        COMPACTIONS_PER_ROUND, MAINTENANCE_DELAY, MAINTENANCE_FILES, MAINTENANCE_INTERVAL, ORPHAN_GRACE_MS,
        PAGES_DROPPED_AT_ONCE, ROUNDS_PER_VERIFICATION,
    },
    machine::{
        Batch, Blob, Command, FileRow, FileState, GroupRow, Op, Outcome, Pre, Row as _, StateError, Table,
        file_key, file_of, file_slot, page_of,
    },
    partition::{ShardGroup, refusals},
};

/// Verifying reads all records of a group: one at a time in a process.
static VERIFYING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

/// Where the next round goes on.
#[derive(Debug, Default)]
pub struct Housekeeping {
    files_from: Bytes,
    uploads_from: Option<UploadId>,
    rounds: u32,
}

/// What must hold, and what changes.
type Changes = (Vec<Pre>, Vec<Op>);

impl ShardGroup {
    /// Keeps house until the group is dropped or the task aborted.
    pub fn spawn_maintenance(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let shard = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut housekeeping = Housekeeping::default();
            // The first round at once: what is on the disk is checked before it is relied upon for long.
            let mut pause = MAINTENANCE_DELAY;
            loop {
                tokio::time::sleep(pause).await;
                pause = MAINTENANCE_INTERVAL;
                let Some(shard) = shard.upgrade() else { return };
                if let Err(error) = shard.maintain(&mut housekeeping).await {
                    tracing::warn!(%error, group = %shard.id(), "housekeeping is put off");
                }
            }
        })
    }

    /// One round.
    ///
    /// # Errors
    /// The store's; what was done stays done.
    pub async fn maintain(&self, housekeeping: &mut Housekeeping) -> Result<(), Refusal> {
        let from = housekeeping.uploads_from.take();
        housekeeping.uploads_from = self.blocking(move |shard| shard.reconcile(from)).await?;
        if self.leads() {
            let from = std::mem::take(&mut housekeeping.files_from);
            housekeeping.files_from = self.sweep(from).await?;
        }
        self.blocking(Self::compact).await?;
        if housekeeping.rounds.is_multiple_of(ROUNDS_PER_VERIFICATION) {
            // One group at a time: each reads all of its records.
            let turn = VERIFYING.acquire().await;
            self.blocking(Self::verify).await?;
            drop(turn);
        }
        housekeeping.rounds = housekeeping.rounds.wrapping_add(1);
        Ok(())
    }

    /// Looks for records that were swapped or removed behind the machine's back.
    fn verify(&self) -> Result<(), Refusal> {
        let differing = self.state().verify_digests()?;
        for slot in &differing {
            tracing::error!(group = %self.id(), slot = slot.number(), "records are not those of the slot's digest");
        }
        if let Some(first) = differing.first() {
            let (count, first) = (differing.len(), first.number());
            self.doubt.accuse(format!(
                "the records of {count} slots, {first} the first, are not those of their digests"
            ));
        }
        Ok(())
    }

    /// Gives chunks the fate that their files' rows say. Returns where to go on.
    fn reconcile(&self, from: Option<UploadId>) -> Result<Option<UploadId>, Refusal> {
        let uploads = self.segments().uploads();
        let mut rest = uploads.into_iter().filter(|upload| from.is_none_or(|from| *upload >= from));
        for upload in rest.by_ref().take(MAINTENANCE_FILES) {
            let file = FileId::new(*upload.as_bytes());
            if let Some(fate) = self.fate(file)? {
                self.settle(fate)?;
            }
        }
        Ok(rest.next())
    }

    /// What should become of a file's chunks, if that is known.
    fn fate(&self, file: FileId) -> Result<Option<Fate>, Refusal> {
        let Some(slot) = file_slot(file) else { return Ok(Some(Fate::Dead(file))) };
        let row = self.state().read().get::<FileRow>(&file_key(slot, file))?;
        Ok(match row.map(|row| row.state) {
            Some(FileState::Staged { .. }) => None,
            Some(FileState::Live { .. }) => Some(Fate::Live(file)),
            Some(FileState::Dead) => Some(Fate::Dead(file)),
            None => self.is_orphan(file).then_some(Fate::Dead(file)),
        })
    }

    /// Whether all chunks of a file that has no row are old: young ones may be ahead of the command that begins it.
    fn is_orphan(&self, file: FileId) -> bool {
        let now = self.clock().now();
        let chunks = self.segments().chunks_of(segment_upload(file));
        chunks.iter().all(|chunk| now.since(chunk.staged_at) >= ORPHAN_GRACE_MS)
    }

    fn compact(&self) -> Result<(), Refusal> {
        for _ in 0..COMPACTIONS_PER_ROUND {
            match refusals::segments(self.segments().compact())? {
                Some(compacted) => tracing::debug!(group = %self.id(), ?compacted, "segment rewritten"),
                None => break,
            }
        }
        refusals::segments(self.segments().sync_all())
    }

    /// Ends expired uploads and clears dead files away, as the leader. Returns where to go on.
    async fn sweep(&self, from: Bytes) -> Result<Bytes, Refusal> {
        let (work, next) = self.blocking(move |shard| shard.sweepable(&from)).await?;
        for file in work {
            let _writer = self.writer(file.0).await;
            let term = self.term()?;
            let Some(batch) = self.blocking(move |shard| shard.sweep_file(file)).await? else { continue };
            let fates = batch.ops.iter().filter_map(Fate::of).collect();
            match self.propose(term, &Command::Batch(batch)).await? {
                Outcome::Applied => self.settle_chunks(fates).await,
                other => tracing::debug!(group = %self.id(), ?other, "sweep overtaken"),
            }
        }
        Ok(next)
    }

    /// Files that want something done, among the next rows.
    fn sweepable(&self, from: &Bytes) -> Result<(Vec<(Slot, FileId)>, Bytes), Refusal> {
        let range = KeyRange::all().starting_at(from.clone());
        let page = self.state().read().scan(Table::Files, &range, ScanLimit::rows(MAINTENANCE_FILES))?;
        let now = self.clock().now();
        let mut work = Vec::new();
        for row in page.rows {
            let due = match FileRow::decode(&row.value)?.state {
                FileState::Staged { expires, .. } => expires <= now,
                FileState::Live { .. } => false,
                FileState::Dead => true,
            };
            if due {
                work.push(file_of(&row.key).ok_or(StateError::Key)?);
            }
        }
        Ok((work, page.next.unwrap_or_default()))
    }

    /// The next command for a file that is expired or dead. The caller has the slot's turn.
    fn sweep_file(&self, (slot, file): (Slot, FileId)) -> Result<Option<Batch>, Refusal> {
        let reader = self.state().read();
        let Some(row) = reader.get::<FileRow>(&file_key(slot, file))? else { return Ok(None) };
        let Some(slot_row) = reader.slot(slot)? else { return Ok(None) };
        drop(reader);
        let now = self.clock().now();
        let (preconditions, ops) = match row.state {
            FileState::Staged { expires, upload_row } if expires <= now => {
                match self.expire(file, upload_row)? {
                    Some(changes) => changes,
                    None => return Ok(None),
                }
            }
            FileState::Staged { .. } | FileState::Live { .. } => return Ok(None),
            FileState::Dead => (Vec::new(), self.clear_away(slot, file)?),
        };
        let policy_epoch = self.state().read().get::<GroupRow>(&[])?.unwrap_or_default().min_policy;
        let id = CommandId::new(random_array().map_err(StateError::from)?);
        let slot_epoch = slot_row.epoch;
        let partition = row.partition;
        Ok(Some(Batch { id, at: now, slot, slot_epoch, partition, policy_epoch, preconditions, ops }))
    }

    /// Ends an upload, unless it was published meanwhile: then its row is gone.
    fn expire(&self, file: FileId, upload_row: Blob) -> Result<Option<Changes>, Refusal> {
        let Some(value) = self.state().read().get_raw(Table::Records, &upload_row.0)? else {
            return Ok(None);
        };
        let stored =
            StoredRecord::parse(value).map_err(|error| refusals::record(RecordError::from(error)))?;
        let pre = Pre::is(upload_row.clone(), stored.version(), stored.etag());
        Ok(Some((vec![pre], vec![Op::Delete { key: upload_row }, Op::DeadFile { file }])))
    }

    fn clear_away(&self, slot: Slot, file: FileId) -> Result<Vec<Op>, Refusal> {
        let range = KeyRange::prefix(file_key(slot, file));
        let page = self.state().read().scan(Table::Pages, &range, ScanLimit::rows(PAGES_DROPPED_AT_ONCE))?;
        let number = |row: &holdfast_store::Row| page_of(&row.key).map(|(_, _, number)| number);
        let pages = page.rows.iter().filter_map(number).collect();
        let mut ops = vec![Op::DropPages { file, pages }];
        if page.next.is_none() {
            ops.push(Op::ForgetFile { file });
        }
        Ok(ops)
    }
}
