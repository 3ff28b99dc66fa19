//! A change of several rows of one home: all of it happens, or nothing.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_domain::{CommandId, Fields};

use super::{
    Entity, QueryError, RowChange, RowKey, Rows, Table,
    binding::Binding,
    bound::Bound,
    change::{Change, NewRow, Reading, Step},
};
use crate::{
    limits::{CHANGE_RETRY_PAUSE, MAX_CHANGE_TRIES, MAX_COMMIT_OPS},
    module::{CommitOutcome, RecordKey, RowVersion},
};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It happened now, and is durable.
    Applied,
    /// It happened at an earlier try with the same command id; nothing happened now.
    Duplicate,
}

/// A change being put together. Each row is named at most once.
pub struct Batch {
    binding: Arc<Binding>,
    command: CommandId,
    named: BTreeSet<RecordKey>,
    changes: Vec<Change>,
}

impl Batch {
    pub(super) fn new(binding: Arc<Binding>, command: CommandId) -> Self {
        let command = binding.command(command);
        Self { binding, command, named: BTreeSet::new(), changes: Vec::new() }
    }

    /// Stores a row, new or not.
    ///
    /// # Errors
    /// `NotPermitted` for a row outside of the caller's scope; `Malformed` for one that is too large, has no proper key, or is named twice.
    pub fn put<E: Entity>(&mut self, table: &Table<E>, row: &E) -> Result<(), QueryError> {
        self.store(&table.rows, &row.fields(), row.encode(), Step::Put)
    }

    /// Stores a new row.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn insert<E: Entity>(&mut self, table: &Table<E>, row: &E) -> Result<(), QueryError> {
        self.store(&table.rows, &row.fields(), row.encode(), Step::Insert)
    }

    /// Stores a row in place of the one that was read.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn replace<E: Entity>(
        &mut self,
        table: &Table<E>,
        row: &E,
        version: RowVersion,
    ) -> Result<(), QueryError> {
        self.store(&table.rows, &row.fields(), row.encode(), |new| Step::Replace(new, version))
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// `Malformed` for a key that is none or is named twice.
    pub fn delete<E: Entity>(&mut self, table: &Table<E>, key: &RowKey) -> Result<(), QueryError> {
        self.name(&table.rows, key, Step::Delete)
    }

    /// Lets the change happen only if a row is still what was read.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn require<E: Entity>(
        &mut self,
        table: &Table<E>,
        key: &RowKey,
        version: RowVersion,
    ) -> Result<(), QueryError> {
        self.name(&table.rows, key, Step::Require(version))
    }

    /// Changes a row that is given as it is stored: by whoever does not know its Rust type.
    ///
    /// # Errors
    /// As the methods above; `Malformed` for bytes that are no such row.
    pub(crate) fn change(&mut self, rows: &Rows, change: RowChange) -> Result<(), QueryError> {
        let table = rows.bound.names.table();
        let read = |value: &[u8]| {
            rows.bound.kind.stored_fields(value).map_err(|source| QueryError::NewRow { table, source })
        };
        match change {
            RowChange::Put(value) => self.store(rows, &read(&value)?, value, Step::Put),
            RowChange::Insert(value) => self.store(rows, &read(&value)?, value, Step::Insert),
            RowChange::Replace(value, version) => {
                self.store(rows, &read(&value)?, value, |new| Step::Replace(new, version))
            }
            RowChange::Delete(key) => self.name(rows, &key, Step::Delete),
            RowChange::Require(key, version) => self.name(rows, &key, Step::Require(version)),
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// `NotFound` for a row that is not there or is hidden, on an insert or a put too; `AlreadyExists` for an insert over a row that the
    /// caller may see; `Conflict` when a row is not what was read, or others were faster each time; `Malformed` for too many changes; the
    /// store's refusals. After `NoQuorum` it may happen later: retry with the same command id.
    pub async fn commit(self) -> Result<Committed, QueryError> {
        let mut pause = CHANGE_RETRY_PAUSE;
        for _ in 0..MAX_CHANGE_TRIES {
            let attempt = match self.attempt(Reading::ToChange).await {
                Err(error) if error.is_about_rows() => self.attempt(Reading::Newest).await,
                attempt => attempt,
            };
            match attempt {
                Ok(CommitOutcome::Applied) => return Ok(Committed::Applied),
                Ok(CommitOutcome::Duplicate) => return Ok(Committed::Duplicate),
                Ok(CommitOutcome::Conflict) => tokio::time::sleep(pause).await,
                Err(error) if error.is_about_rows() && self.happened().await? => {
                    return Ok(Committed::Duplicate);
                }
                Err(error) => return Err(error),
            }
            pause = pause.saturating_mul(2);
        }
        let table = self.changes.first().map_or("nothing", |change| change.bound.names.table());
        Err(QueryError::Changed { table })
    }

    /// Reads what is there, decides, commits on condition that it is still there.
    async fn attempt(&self, reading: Reading) -> Result<CommitOutcome, QueryError> {
        let plans = self.changes.iter().map(|change| change.plan(reading));
        let planned = futures::future::try_join_all(plans).await?;
        let (mut preconditions, mut ops) = (Vec::new(), Vec::new());
        for plan in planned {
            preconditions.push(plan.precondition);
            ops.extend(plan.ops);
        }
        if ops.len() > MAX_COMMIT_OPS {
            return Err(QueryError::BatchTooLarge(ops.len()));
        }
        Ok(self.binding.partition.commit(self.command, preconditions, ops).await?)
    }

    async fn happened(&self) -> Result<bool, QueryError> {
        Ok(self.binding.partition.seen(self.command).await?)
    }

    fn store(
        &mut self,
        rows: &Rows,
        fields: &Fields,
        value: Vec<u8>,
        step: impl FnOnce(NewRow) -> Step,
    ) -> Result<(), QueryError> {
        let new = NewRow::of(&rows.bound, fields, value)?;
        self.add(&rows.bound, new.record.clone(), step(new))
    }

    fn name(&mut self, rows: &Rows, key: &RowKey, step: Step) -> Result<(), QueryError> {
        self.add(&rows.bound, rows.bound.names.of_key(key)?, step)
    }

    fn add(&mut self, bound: &Arc<Bound>, record: RecordKey, step: Step) -> Result<(), QueryError> {
        if !Arc::ptr_eq(&bound.binding, &self.binding) {
            return Err(QueryError::Misuse("a table and a batch of two requests"));
        }
        if self.changes.len() >= MAX_COMMIT_OPS {
            return Err(QueryError::BatchTooLarge(self.changes.len() + 1));
        }
        if !self.named.insert(record.clone()) {
            return Err(QueryError::Twice { table: bound.names.table() });
        }
        self.changes.push(Change { bound: Arc::clone(bound), record, step });
        Ok(())
    }
}
