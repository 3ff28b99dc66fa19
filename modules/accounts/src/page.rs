//! Listings: page by page for callers, and as a whole for questions about a table.

use bytes::Bytes;
use holdfast_domain::Reason;
use holdfast_sys_core::{
    Refusal,
    module::Cursor,
    query::{By, Entity, Stored, Table},
};

use crate::limits::{DEFAULT_LIST, MAX_CURSOR_BYTES, MAX_LIST, MAX_PAGES};

/// Which page of a listing is asked for.
pub(crate) struct Paging {
    cursor: Option<Cursor>,
    limit: usize,
}

impl Paging {
    /// # Errors
    /// `Malformed` beyond the limits.
    pub(crate) fn parse(cursor: &[u8], limit: u32) -> Result<Self, Refusal> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit > MAX_LIST || cursor.len() > MAX_CURSOR_BYTES {
            return Err(Reason::Malformed.into());
        }
        let cursor = (!cursor.is_empty()).then(|| Cursor(cursor.to_owned()));
        Ok(Self { cursor, limit: if limit == 0 { DEFAULT_LIST } else { limit } })
    }

    /// The page, and the cursor for the next.
    ///
    /// # Errors
    /// As [`Table::list`].
    pub(crate) async fn of<E: Entity>(self, table: &Table<E>, by: &By) -> Result<(Vec<E>, Bytes), Refusal> {
        let page = table.list(by, self.cursor.as_ref(), self.limit).await?;
        let next = page.next.map(|Cursor(bytes)| bytes).unwrap_or_default();
        Ok((page.rows.into_iter().map(Stored::into_answer).collect(), next.into()))
    }
}

/// The rows of a table, or the first `most` of them.
///
/// # Errors
/// `Overloaded` when that takes too many pages: an answer from a part of them would be wrong. Else as [`Table::list`].
pub(crate) async fn up_to<E: Entity>(
    most: usize,
    table: &Table<E>,
    by: &By,
) -> Result<Vec<Stored<E>>, Refusal> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let page = table.list(by, cursor.as_ref(), most.saturating_sub(rows.len())).await?;
        rows.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() || rows.len() >= most {
            return Ok(rows);
        }
    }
    Err(Refusal::new(Reason::Overloaded).because("a listing of more pages than expected"))
}
