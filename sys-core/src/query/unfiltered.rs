//! Looking beyond the caller's rows: declared in the `.proto`, recorded at each use, for reading only.

use std::sync::Arc;

use holdfast_authz::Scope;

use super::{By, Entity, QueryError, RowKey, RowPage, Stored, Table, binding::Binding, bound::Bound};
use crate::module::Cursor;

/// All rows of a table in the home, for reading. What it finds must not reach the caller as it is.
pub struct Unfiltered<E>(Table<E>);

impl<E: Entity> Unfiltered<E> {
    pub(super) fn of(bound: &Bound, purpose: &'static str) -> Result<Self, QueryError> {
        let Binding { caller, module, check, .. } = &*bound.binding;
        let (entity, action) = (&check.entity, &check.action);
        let table = bound.names.table();
        let declared = check.unfiltered.as_ref().filter(|_| *entity == E::schema().name);
        let Some(reason) = declared else {
            tracing::info!(
                target: "audit", decision = "deny", rule = "unfiltered", module, entity, action, table, %caller, purpose
            );
            return Err(QueryError::Misuse(
                "the method's check gives no reason to look beyond the caller's rows of this table",
            ));
        };
        tracing::info!(
            target: "audit", decision = "allow", rule = "unfiltered", module, entity, action, table, %caller, purpose, reason
        );
        let binding = Arc::clone(&bound.binding);
        Ok(Self(binding.table(Scope::Always)))
    }

    /// One row, hidden or not.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn get(&self, key: &RowKey) -> Result<Stored<E>, QueryError> {
        self.0.get(key).await
    }

    /// One page of all rows.
    ///
    /// # Errors
    /// As [`Table::list`].
    pub async fn list(
        &self,
        by: &By,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<RowPage<E>, QueryError> {
        self.0.list(by, cursor, limit).await
    }
}
