//! What becomes of a file's chunks.

use holdfast_domain::FileId;
use holdfast_sys_core::errors::Refusal;

use super::rows::segment_upload;
use crate::{
    machine::Op,
    partition::{ShardGroup, refusals},
};

/// What becomes of a file's chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A manifest holds them.
    Live(FileId),
    /// Nobody wants them any more.
    Dead(FileId),
}

impl Fate {
    /// What an applied change decides.
    pub(crate) fn of(op: &Op) -> Option<Self> {
        match op {
            Op::LiveFile { file, .. } => Some(Self::Live(*file)),
            Op::DeadFile { file } => Some(Self::Dead(*file)),
            _ => None,
        }
    }
}

impl ShardGroup {
    /// Marks chunks after a command was applied. Neither durable nor certain: housekeeping does it again from the rows.
    pub(crate) async fn settle_chunks(&self, fates: Vec<Fate>) {
        if fates.is_empty() {
            return;
        }
        let settled = self.blocking(move |shard| fates.into_iter().try_for_each(|fate| shard.settle(fate)));
        if let Err(error) = settled.await {
            tracing::warn!(%error, group = %self.id(), "chunks are left to housekeeping");
        }
    }

    pub(super) fn settle(&self, fate: Fate) -> Result<(), Refusal> {
        let (Fate::Live(file) | Fate::Dead(file)) = fate;
        self.staged.forget(file);
        let upload = segment_upload(file);
        let position = match fate {
            Fate::Live(_) => self.segments().mark_live(upload),
            Fate::Dead(_) => self.segments().delete_upload(upload),
        };
        refusals::segments(position).map(drop)
    }
}
