//! What all tables and batches of one request are bound to.

use std::sync::Arc;

use holdfast_authz::Scope;
use holdfast_domain::{Check, CommandId, Sha256Hash};

use super::{
    Batch, Entity, Rows, Table,
    bound::Bound,
    kind::{self, Kind},
};
use crate::{caller::Caller, module::Partition};

/// One caller's way to one module's rows in one home. Made by the gate only: there is no way from a [`Table`] back to it.
pub(crate) struct Binding {
    pub(crate) partition: Arc<dyn Partition>,
    pub(super) caller: Caller,
    pub(super) module: String,
    pub(crate) check: Check,
}

impl Binding {
    /// Binds a request to the partition that it leads to.
    pub(crate) fn new(
        partition: Arc<dyn Partition>,
        caller: Caller,
        module: &str,
        check: Check,
    ) -> Arc<Self> {
        Arc::new(Self { partition, caller, module: module.to_owned(), check })
    }

    /// A table, bound to what the caller may do with its rows.
    pub(crate) fn table<E: Entity>(self: &Arc<Self>, scope: Scope) -> Table<E> {
        Table::new(self.rows(kind::of::<E>(), scope))
    }

    /// The same of a kind of row whose Rust type nobody here knows.
    pub(crate) fn rows(self: &Arc<Self>, kind: &'static dyn Kind, scope: Scope) -> Rows {
        Rows::new(Bound::new(Arc::clone(self), kind, scope))
    }

    /// A change of several rows.
    pub(crate) fn batch(self: &Arc<Self>, command: CommandId) -> Batch {
        Batch::new(Arc::clone(self), command)
    }

    /// The id that a caller's command has in the store: members of one home share its memory of commands, so nobody may use up the id of
    /// another's command, nor one module or action that of another.
    pub(crate) fn command(&self, command: CommandId) -> CommandId {
        let caller = self.caller.to_string();
        let Check { action, entity, unfiltered: _ } = &self.check;
        let text = format!("query/command/v1\0{}\0{entity}.{action}\0{caller}\0{command}", self.module);
        let hash = Sha256Hash::of(text.as_bytes());
        let mut id = [0; CommandId::LEN];
        id.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        CommandId::new(id)
    }
}
