//! Listing names under a prefix, page by page.

use holdfast_domain::Reason;
use holdfast_files_api::v1::ListReply;
use holdfast_sys_core::{
    Refusal,
    module::{Cursor, Partition},
};

use crate::{
    limits::{DEFAULT_LIST, LIST_STEP, MAX_CURSOR_BYTES, MAX_LIST, MAX_LIST_BYTES, MAX_LIST_READS},
    name::Prefix,
    rows::{FileRow, decode},
};

/// What to list.
pub(crate) struct List {
    prefix: Prefix,
    cursor: Option<Cursor>,
    limit: usize,
}

impl List {
    pub(crate) fn parse(prefix: &[u8], cursor: &[u8], limit: u32) -> Result<Self, Refusal> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit > MAX_LIST || cursor.len() > MAX_CURSOR_BYTES {
            return Err(Reason::Malformed.into());
        }
        Ok(Self {
            prefix: Prefix::parse(prefix)?,
            cursor: (!cursor.is_empty()).then(|| Cursor(cursor.to_owned())),
            limit: if limit == 0 { DEFAULT_LIST } else { limit },
        })
    }

    /// One page.
    ///
    /// # Errors
    /// The store's refusals.
    pub(crate) async fn run(self, partition: &dyn Partition) -> Result<ListReply, Refusal> {
        let Self { prefix, mut cursor, limit } = self;
        let key = prefix.key()?;
        let (mut files, mut bytes) = (Vec::new(), 0);
        for _ in 0..MAX_LIST_READS {
            let step = LIST_STEP.min(limit - files.len());
            let page = partition.list(&key, cursor.as_ref(), step).await?;
            for row in page.rows {
                let row: FileRow = decode(&row.value)?;
                if prefix.covers(&row.name) {
                    bytes += row.name.as_bytes().len();
                    files.push(row.info());
                }
            }
            cursor = page.next;
            if cursor.is_none() || files.len() >= limit || bytes >= MAX_LIST_BYTES {
                break;
            }
        }
        let cursor = cursor.map(|Cursor(bytes)| bytes).unwrap_or_default();
        Ok(ListReply { files, cursor: cursor.into() })
    }
}
