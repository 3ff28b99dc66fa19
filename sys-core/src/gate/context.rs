//! What a handler is given.

use std::sync::Arc;

use holdfast_authz::Scope;
use holdfast_domain::{AccountId, Check, CommandId, EntitySchema, HomeId, Reason, Standing, UnixMs};

use super::gates::Gate;
use crate::{
    caller::Unguarded,
    errors::Refusal,
    module::Partition,
    query::{Batch, Binding, Entity, Kind, Rows, Table},
};

/// One call's way to its module's data in one home. Clones are the same way.
#[derive(Clone)]
pub struct Context(pub(super) Arc<Bound>);

pub(super) struct Bound {
    pub(super) gate: Arc<Gate>,
    pub(super) account: Option<AccountId>,
    pub(super) standing: Standing,
    pub(super) command: Option<CommandId>,
    pub(super) scope: Scope,
    /// The policies that the scope follows from.
    pub(super) policies: Arc<str>,
    pub(super) binding: Arc<Binding>,
}

impl Context {
    /// The context of a request, put there by the gate.
    ///
    /// # Errors
    /// [`Unguarded`] for a method without a check, or a server without its guard.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Unguarded> {
        request.extensions().get::<Self>().ok_or(Unguarded)
    }

    /// Who calls.
    ///
    /// # Errors
    /// `Unauthenticated` for a caller without an identity, whom only methods that are open to the anonymous meet.
    pub fn account(&self) -> Result<AccountId, Refusal> {
        self.0.account.ok_or(Reason::Unauthenticated.into())
    }

    /// The policies that let the call in.
    pub(crate) fn policies(&self) -> &str {
        &self.0.policies
    }

    /// Whether a module server answers the call.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.0.gate.scopes.are_a_servers()
    }

    /// Whose data the call is about.
    pub fn home(&self) -> HomeId {
        self.0.binding.partition.home()
    }

    /// The clock that stamps the home's records.
    pub fn now(&self) -> UnixMs {
        self.0.binding.partition.now()
    }

    /// The command that the request names: the same for all tries of one write.
    ///
    /// # Errors
    /// `Malformed` when it names none.
    pub fn command(&self) -> Result<CommandId, Refusal> {
        self.0.command.ok_or_else(|| Refusal::new(Reason::Malformed).because("the request names no command"))
    }

    /// The id under which the [whole](Self::whole) home's store knows [the command](Self::command): a home's members share its memory of
    /// commands, so nobody may use up the id of another's.
    ///
    /// # Errors
    /// `Malformed` when the request names none.
    pub fn stored_command(&self) -> Result<CommandId, Refusal> {
        Ok(self.0.binding.command(self.command()?))
    }

    /// The rows that the method's check is about.
    ///
    /// # Errors
    /// `Internal` when it is about another entity: see [`Self::table_for`].
    pub fn table<E: Entity>(&self) -> Result<Table<E>, Refusal> {
        let scope = self.own_scope(self.declared(E::schema())?)?;
        Ok(self.0.binding.table(scope))
    }

    /// The same of a kind of row whose Rust type nobody here knows.
    ///
    /// # Errors
    /// As [`Self::table`].
    pub(crate) fn rows(&self, kind: &'static dyn Kind) -> Result<Rows, Refusal> {
        let scope = self.own_scope(self.declared(kind.schema())?)?;
        Ok(self.0.binding.rows(kind, scope))
    }

    /// The rows to which the caller may do another action of the module, declared by some method: none, if there are none.
    ///
    /// # Errors
    /// `Internal` for an action that no method declares.
    pub fn table_for<E: Entity>(&self, action: &str) -> Result<Table<E>, Refusal> {
        let scope = self.scope_for(self.declared(E::schema())?, action)?;
        Ok(self.0.binding.table(scope))
    }

    /// The same of a kind of row whose Rust type nobody here knows.
    ///
    /// # Errors
    /// As [`Self::table_for`], and `Malformed` for an action that no method declares: a module server may ask for anything.
    pub(crate) fn rows_for(&self, kind: &'static dyn Kind, action: &str) -> Result<Rows, Refusal> {
        let entity = self.declared(kind.schema())?;
        if !self.0.gate.module.actions().contains(&(action, entity)) {
            return Err(Refusal::new(Reason::Malformed).because("no method declares this action"));
        }
        Ok(self.0.binding.rows(kind, self.scope_for(entity, action)?))
    }

    /// What the method's check is about: the entity, and the action that is done to it.
    pub(crate) fn check(&self) -> (&str, &str) {
        let Check { entity, action, unfiltered: _ } = &self.0.binding.check;
        (entity, action)
    }

    /// A change of rows of several tables.
    ///
    /// # Errors
    /// `Malformed` when the request names no command.
    pub fn batch(&self) -> Result<Batch, Refusal> {
        Ok(self.0.binding.batch(self.command()?))
    }

    /// The whole home below the tables, large content included. For a module with one entity, which stands for all of a home's data: its
    /// policies decide who may do what to all of it, and no table is left that others decide about.
    ///
    /// # Errors
    /// `NotPermitted` when the caller's scope is less than everything, `Internal` for a module with several entities.
    pub fn whole(&self) -> Result<&dyn Partition, Refusal> {
        let module = &self.0.gate.module;
        if module.entities.len() != 1 {
            return Err(misuse(format!("module {} has several entities", module.name)));
        }
        if self.0.scope == Scope::Always {
            Ok(&*self.0.binding.partition)
        } else {
            Err(Refusal::new(Reason::NotPermitted).because("a part of the home is hidden from the caller"))
        }
    }

    fn own_scope(&self, entity: &str) -> Result<Scope, Refusal> {
        let Bound { binding, scope, .. } = &*self.0;
        let about = &binding.check.entity;
        if entity != about {
            return Err(misuse(format!("the method's check is about {about}, not {entity}")));
        }
        Ok(scope.clone())
    }

    fn scope_for(&self, entity: &str, action: &str) -> Result<Scope, Refusal> {
        let check = Check { action: action.to_owned(), entity: entity.to_owned(), unfiltered: None };
        let Bound { gate, account, standing, .. } = &*self.0;
        Ok(gate.rule(*account, standing, &check)?.scope)
    }

    /// The name of an entity, if it is the module's own.
    fn declared<'a>(&self, schema: &'a EntitySchema) -> Result<&'a str, Refusal> {
        let module = &self.0.gate.module;
        if module.entity(&schema.name) == Some(schema) {
            Ok(&schema.name)
        } else {
            Err(misuse(format!("module {} does not declare {} like this", module.name, schema.name)))
        }
    }
}

/// A handler does what its module's declarations do not cover: nobody's fault but its author's.
fn misuse(detail: String) -> Refusal {
    tracing::error!(detail, "a module misuses its context");
    Refusal::new(Reason::Internal).because(detail)
}
