//! A table whose rows are bytes: what typed tables are made of, and what module servers reach.

use std::sync::Arc;

use super::{
    By, QueryError, RowKey,
    bound::{Bound, Seen},
    listing,
};
use crate::module::{Cursor, RowVersion};

/// The rows of one entity that this request's caller may touch, as they are stored.
pub(crate) struct Rows {
    pub(super) bound: Arc<Bound>,
}

/// A row as stored, secrets included.
pub(crate) struct RawRow {
    pub(crate) value: Vec<u8>,
    pub(crate) version: RowVersion,
}

/// What is to become of one row.
pub(crate) enum RowChange {
    /// Stored, new or not.
    Put(Vec<u8>),
    /// Stored, new.
    Insert(Vec<u8>),
    /// Stored in place of the one that was read.
    Replace(Vec<u8>, RowVersion),
    /// Deleted.
    Delete(RowKey),
    /// Left as it was read, or nothing else happens either.
    Require(RowKey, RowVersion),
}

impl Rows {
    pub(super) fn new(bound: Arc<Bound>) -> Self {
        Self { bound }
    }

    /// One row.
    pub(crate) async fn get(&self, key: &RowKey) -> Result<RawRow, QueryError> {
        let record = self.bound.names.of_key(key)?;
        let seen = self.bound.get(&record).await?.ok_or_else(|| self.bound.not_found())?;
        Ok(seen.into())
    }

    /// One page of rows, and where the listing goes on.
    pub(crate) async fn list(
        &self,
        by: &By,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<RawRow>, Option<Cursor>), QueryError> {
        let (seen, next) = listing::page(&self.bound, by, cursor, limit).await?;
        Ok((seen.into_iter().map(Into::into).collect(), next))
    }
}

impl From<Seen> for RawRow {
    fn from(Seen { fields: _, row }: Seen) -> Self {
        Self { value: row.value, version: row.version }
    }
}
