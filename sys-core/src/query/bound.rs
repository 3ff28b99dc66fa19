//! A table without its entity's type: names, scope, and the one place where a stored row is judged.

use std::sync::Arc;

use holdfast_authz::Scope;
use holdfast_domain::Fields;

use super::{NotAnEntity, QueryError, binding::Binding, kind::Kind, names::Names};
use crate::module::{RecordKey, Row};

/// A table of one request.
pub(super) struct Bound {
    pub(super) binding: Arc<Binding>,
    pub(super) names: Names,
    pub(super) scope: Scope,
    pub(super) kind: &'static dyn Kind,
}

/// A row that the caller may see.
pub(super) struct Seen {
    pub(super) fields: Fields,
    pub(super) row: Row,
}

impl Bound {
    pub(super) fn new(binding: Arc<Binding>, kind: &'static dyn Kind, scope: Scope) -> Arc<Self> {
        Arc::new(Self { binding, names: Names(kind.schema()), scope, kind })
    }

    /// The field values of a stored row, if the caller may see it.
    pub(super) fn sees(&self, row: &Row) -> Result<Option<Fields>, QueryError> {
        let damaged = |source| QueryError::Row { table: self.names.table(), source };
        let fields = self.kind.stored_fields(&row.value).map_err(damaged)?;
        if self.names.of_row(&fields).as_ref() != Ok(&row.key) {
            let entity = self.names.0.name.clone();
            return Err(damaged(NotAnEntity { entity, detail: "it has another name inside".to_owned() }));
        }
        Ok(self.scope.admits(&fields).then_some(fields))
    }

    /// A stored row, if the caller may see it.
    pub(super) fn see(&self, row: Row) -> Result<Option<Seen>, QueryError> {
        Ok(self.sees(&row)?.map(|fields| Seen { fields, row }))
    }

    /// Reads a row; a hidden one is `None` as if it did not exist.
    pub(super) async fn get(&self, record: &RecordKey) -> Result<Option<Seen>, QueryError> {
        if self.scope == Scope::Never {
            return Ok(None);
        }
        let row = self.binding.partition.get(record).await?;
        row.map_or(Ok(None), |row| self.see(row))
    }

    pub(super) fn not_found(&self) -> QueryError {
        QueryError::NotFound { table: self.names.table() }
    }
}
