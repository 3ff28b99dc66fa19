//! A table, as a handler holds it.

use std::{fmt, marker::PhantomData, sync::Arc};

use holdfast_domain::CommandId;

use super::{Batch, By, Committed, Entity, QueryError, RawRow, RowKey, RowPage, Rows, Unfiltered};
use crate::module::{Cursor, RowVersion};

/// The rows of one entity that this request's caller may touch.
///
/// Made by the gate; what it is bound to is fixed, and nobody else can make one:
///
/// ```compile_fail,E0603
/// use holdfast_sys_core::query::Binding;
/// ```
pub struct Table<E> {
    pub(super) rows: Rows,
    entity: PhantomData<fn() -> E>,
}

/// A row as read. It may hold secrets, so it does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored<E> {
    row: E,
    version: RowVersion,
}

impl<E: Entity> Stored<E> {
    /// The row, secrets included: for the handler itself.
    pub const fn row(&self) -> &E {
        &self.row
    }

    /// For [`Table::replace`] and [`Batch::require`].
    pub const fn version(&self) -> RowVersion {
        self.version
    }

    /// The row, secrets included: to be changed and stored again.
    pub fn into_row(self) -> E {
        self.row
    }

    /// The row for an answer to a client: without its secrets.
    pub fn into_answer(mut self) -> E {
        self.row.redact();
        self.row
    }

    fn read(table: &'static str, RawRow { value, version }: RawRow) -> Result<Self, QueryError> {
        let row = E::decode(&value).map_err(|source| QueryError::Row { table, source })?;
        Ok(Self { row, version })
    }
}

impl<E> fmt::Debug for Stored<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("version", &self.version).finish_non_exhaustive()
    }
}

impl<E: Entity> Table<E> {
    pub(super) fn new(rows: Rows) -> Self {
        Self { rows, entity: PhantomData }
    }

    /// One row.
    ///
    /// # Errors
    /// `NotFound` when there is none or it is hidden, and the store's refusals.
    pub async fn get(&self, key: &RowKey) -> Result<Stored<E>, QueryError> {
        Stored::read(self.name(), self.rows.get(key).await?)
    }

    /// One page of rows, at most `limit` and at most [`limits::MAX_PAGE_ROWS`](crate::limits::MAX_PAGE_ROWS); it may hold fewer, even
    /// none, when there is a next one.
    ///
    /// # Errors
    /// `Malformed` for a cursor of another caller, listing, scope or node and for fields without an index, and the store's refusals.
    pub async fn list(
        &self,
        by: &By,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<RowPage<E>, QueryError> {
        let (rows, next) = self.rows.list(by, cursor, limit).await?;
        let rows = rows.into_iter().map(|row| Stored::read(self.name(), row)).collect::<Result<_, _>>()?;
        Ok(RowPage { rows, next })
    }

    /// Stores a row, new or not.
    ///
    /// # Errors
    /// See [`Batch::commit`].
    pub async fn put(&self, command: CommandId, row: &E) -> Result<Committed, QueryError> {
        let mut batch = self.batch(command);
        batch.put(self, row)?;
        batch.commit().await
    }

    /// Stores a new row.
    ///
    /// # Errors
    /// See [`Batch::commit`].
    pub async fn insert(&self, command: CommandId, row: &E) -> Result<Committed, QueryError> {
        let mut batch = self.batch(command);
        batch.insert(self, row)?;
        batch.commit().await
    }

    /// Stores a row in place of the one that was read.
    ///
    /// # Errors
    /// See [`Batch::commit`].
    pub async fn replace(
        &self,
        command: CommandId,
        row: &E,
        version: RowVersion,
    ) -> Result<Committed, QueryError> {
        let mut batch = self.batch(command);
        batch.replace(self, row, version)?;
        batch.commit().await
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// See [`Batch::commit`].
    pub async fn delete(&self, command: CommandId, key: &RowKey) -> Result<Committed, QueryError> {
        let mut batch = self.batch(command);
        batch.delete(self, key)?;
        batch.commit().await
    }

    /// All rows of the home, for reading, whoever asks. Needs a method whose check says why that may be, and is recorded with it.
    ///
    /// `purpose` says for the record what this use is for.
    ///
    /// # Errors
    /// `Misuse` when the method's check does not allow it.
    pub fn unfiltered(&self, purpose: &'static str) -> Result<Unfiltered<E>, QueryError> {
        Unfiltered::of(&self.rows.bound, purpose)
    }

    fn batch(&self, command: CommandId) -> Batch {
        Batch::new(Arc::clone(&self.rows.bound.binding), command)
    }

    fn name(&self) -> &'static str {
        self.rows.bound.names.table()
    }
}
