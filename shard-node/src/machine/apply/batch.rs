//! One batch of one partition.

use super::{
    super::{
        Batch, Op, Outcome, layout,
        rows::{GroupRow, RecentRow, SlotRow},
    },
    Applying, Refused,
    records::Changes,
    refuse,
};

impl Applying<'_> {
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), Refused> {
        let Some(recent) = self.unless_seen(batch)? else { return refuse(Outcome::Duplicate) };
        let slot = self.serving(batch.slot, batch.slot_epoch)?;
        if !batch.is_bounded() {
            return refuse(Outcome::Malformed);
        }
        if batch.policy_epoch < self.txn.get::<GroupRow>(&[])?.unwrap_or_default().min_policy {
            return refuse(Outcome::StalePolicy);
        }
        let changes = Changes::parse(batch)?;
        self.check_generations(batch, &changes)?;
        self.check_preconditions(batch)?;
        if changes.versions().any(|version| version.0 <= slot.high_water) {
            return refuse(Outcome::Conflict);
        }
        let slot = self.write_records(batch, changes, slot)?;
        for op in &batch.ops {
            self.file_op(batch, op)?;
        }
        self.finish(batch, &slot, recent)
    }

    fn finish(&mut self, batch: &Batch, slot: &SlotRow, recent: RecentRow) -> Result<(), Refused> {
        self.txn.put(&layout::slot(batch.slot), slot)?;
        Ok(self.remember(batch, recent)?)
    }

    fn file_op(&mut self, batch: &Batch, op: &Op) -> Result<(), Refused> {
        match op {
            Op::Put { .. } | Op::Delete { .. } => Ok(()),
            Op::BeginFile { file, expires, upload_row } => {
                self.begin_file(batch, *file, *expires, upload_row.clone())
            }
            Op::PutPage { file, page, chunks } => self.put_page(batch, *file, *page, chunks),
            Op::LiveFile { file, chunks } => self.live_file(batch, *file, *chunks),
            Op::DeadFile { file } => self.dead_file(batch, *file),
            Op::DropPages { file, pages } => self.drop_pages(batch, *file, pages),
            Op::ForgetFile { file } => self.forget_file(batch, *file),
        }
    }
}
