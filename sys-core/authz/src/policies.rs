//! A module's policies: compiled once, asked often.

use cedar_policy as _;
use holdfast_domain::{Check, Fields, ModuleSchema};

use crate::{
    error::{PolicyError, ScopeError},
    scope::Scope,
    subject::Subject,
};

/// The answer for one row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// These policies permit it, and none forbids it.
    Allow {
        /// Their ids, for the audit event.
        policies: Vec<String>,
    },
    /// No policy permits it, or one forbids it.
    Deny,
}

/// One module's policies, strictly validated against the schema made from its declaration.
#[derive(Debug)]
pub struct Policies {}

impl Policies {
    /// Compiles and validates policy text, and asks for the scope of every action for a set of sample callers, so that a policy that no
    /// row filter can say is found when the server starts. A policy is named by its `@id`, or else by its number.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with policy and position.
    pub fn compile(_schema: &ModuleSchema, _cedar: &str) -> Result<Self, PolicyError> {
        todo!()
    }

    /// Whether the caller may do this to a row that has all fields that policies know, each of its declared type. Any other row is
    /// denied, and so is an action that no method declares.
    pub fn decide(&self, _caller: &Subject<'_>, _check: &Check, _row: &Fields) -> Verdict {
        todo!()
    }

    /// The rows that the caller may do this to: exactly those that [`Self::decide`] allows.
    ///
    /// # Errors
    ///
    /// There is no exact answer. Nothing may be shown then.
    pub fn scope(&self, _caller: &Subject<'_>, _check: &Check) -> Result<Scope, ScopeError> {
        todo!()
    }
}
