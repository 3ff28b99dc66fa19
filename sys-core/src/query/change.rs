//! The change of one row: what must hold, and what is written, index rows included.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_domain::Fields;

use super::{
    QueryError,
    bound::{Bound, Seen},
    kind::Kind,
    names::Names,
};
use crate::{
    limits::MAX_ROW_BYTES,
    module::{Op, Precondition, RecordKey, Row, RowVersion},
};

/// A row to be stored; the caller may have such a row.
pub(super) struct NewRow {
    pub(super) record: RecordKey,
    value: Vec<u8>,
    index: BTreeSet<RecordKey>,
}

/// What is to become of a row.
pub(super) enum Step {
    Put(NewRow),
    Insert(NewRow),
    Replace(NewRow, RowVersion),
    Delete,
    Require(RowVersion),
}

/// What a change is planned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// What this node knows: enough for a change that is committed, as its commit says whether it was so.
    ToChange,
    /// What holds: for a refusal.
    Newest,
}

/// One row of a batch.
pub(super) struct Change {
    pub(super) bound: Arc<Bound>,
    pub(super) record: RecordKey,
    pub(super) step: Step,
}

/// A change on what was read.
pub(super) struct Planned {
    pub(super) precondition: Precondition,
    pub(super) ops: Vec<Op>,
}

/// What a name holds, as far as the caller may know.
enum Old {
    Nothing,
    Hidden,
    Row(Seen),
}

impl NewRow {
    /// Judged before anything is read, so that the answer says nothing about what is stored.
    pub(super) fn of(bound: &Bound, fields: &Fields, value: Vec<u8>) -> Result<Self, QueryError> {
        let table = bound.names.table();
        if !bound.scope.admits(fields) {
            return Err(QueryError::NotPermitted { table });
        }
        if value.len() > MAX_ROW_BYTES {
            return Err(QueryError::RowTooLarge { table, len: value.len() });
        }
        Ok(Self { record: bound.names.of_row(fields)?, value, index: bound.names.index_rows(fields)? })
    }
}

impl Change {
    /// Reads the row and decides.
    pub(super) async fn plan(&self, reading: Reading) -> Result<Planned, QueryError> {
        let old = self.old(reading).await?;
        let table = self.bound.names.table();
        match (&self.step, old) {
            (_, Old::Hidden) | (Step::Replace(..) | Step::Delete | Step::Require(_), Old::Nothing) => {
                Err(self.bound.not_found())
            }
            (Step::Insert(_), Old::Row(_)) => Err(QueryError::AlreadyExists { table }),
            (Step::Replace(_, version) | Step::Require(version), Old::Row(seen))
                if seen.row.version != *version =>
            {
                Err(QueryError::Changed { table })
            }
            (Step::Put(new) | Step::Insert(new), Old::Nothing) => {
                let precondition = Precondition::Absent(self.record.clone());
                Ok(Planned { precondition, ops: self.write(new, &BTreeSet::new()) })
            }
            (Step::Put(new) | Step::Replace(new, _), Old::Row(seen)) => {
                let indexed = self.bound.names.stored_index_rows(&seen.fields)?;
                Ok(Planned { precondition: self.unchanged(&seen), ops: self.write(new, &indexed) })
            }
            (Step::Delete, Old::Row(seen)) => {
                let indexed = self.bound.names.stored_index_rows(&seen.fields)?;
                let records = [self.record.clone()].into_iter().chain(indexed);
                Ok(Planned { precondition: self.unchanged(&seen), ops: records.map(Op::Delete).collect() })
            }
            (Step::Require(_), Old::Row(seen)) => {
                Ok(Planned { precondition: self.unchanged(&seen), ops: Vec::new() })
            }
        }
    }

    async fn old(&self, reading: Reading) -> Result<Old, QueryError> {
        let partition = &self.bound.binding.partition;
        let row = match reading {
            Reading::ToChange => partition.get_to_change(&self.record).await?,
            Reading::Newest => partition.get(&self.record).await?,
        };
        let Some(row) = row else { return Ok(Old::Nothing) };
        Ok(self.bound.see(row)?.map_or(Old::Hidden, Old::Row))
    }

    fn unchanged(&self, seen: &Seen) -> Precondition {
        Precondition::Is(self.record.clone(), seen.row.version)
    }

    /// The row and its index rows, those too that should be there already: a row that is stored again mends its indexes.
    fn write(&self, new: &NewRow, old: &BTreeSet<RecordKey>) -> Vec<Op> {
        let NewRow { record, value, index } = new;
        let mut ops = vec![Op::Put { key: record.clone(), value: value.clone() }];
        ops.extend(old.difference(index).cloned().map(Op::Delete));
        ops.extend(index.iter().map(|row| Op::Put { key: row.clone(), value: Vec::new() }));
        ops
    }
}

/// What turns a stored row, which may be of an earlier declaration, into another one of the same name, or into none.
pub(crate) fn rewritten(
    kind: &'static dyn Kind,
    row: &Row,
    new: Option<Vec<u8>>,
) -> Result<Vec<Op>, QueryError> {
    let names = Names(kind.schema());
    let table = names.table();
    let own = |fields: &Fields| names.of_row(fields).as_ref() == Ok(&row.key);
    let before = kind.stored_fields(&row.value).ok().filter(own);
    let old = before.and_then(|fields| names.stored_index_rows(&fields).ok()).unwrap_or_default();
    let Some(value) = new else {
        return Ok([row.key.clone()].into_iter().chain(old).map(Op::Delete).collect());
    };
    let fields = kind.stored_fields(&value).map_err(|source| QueryError::NewRow { table, source })?;
    if !own(&fields) {
        return Err(QueryError::Misuse("a step gives a row another name"));
    }
    if value.len() > MAX_ROW_BYTES {
        return Err(QueryError::RowTooLarge { table, len: value.len() });
    }
    let index = names.index_rows(&fields)?;
    let mut ops = vec![Op::Put { key: row.key.clone(), value }];
    ops.extend(old.difference(&index).cloned().map(Op::Delete));
    ops.extend(index.into_iter().map(|key| Op::Put { key, value: Vec::new() }));
    Ok(ops)
}
