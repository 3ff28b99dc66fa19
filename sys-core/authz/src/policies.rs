//! A module's policies: compiled once, asked often.

use std::collections::BTreeMap;

use cedar_policy::{
    Authorizer, Effect, Entities, EntityTypeName, PartialEntities, PartialEntityUid, PartialRequest, Request,
    Schema, TpeResponse,
};
use holdfast_domain::{Check, Fields, ModuleSchema};

use crate::{
    action::{Action, type_name},
    compile,
    error::{PolicyError, ScopeError},
    residual, samples,
    schema::{self, ACCOUNT, ROLE},
    scope::{Ruling, Scope},
    subject::Subject,
};

/// The answer for one row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// These policies permit it, and none forbids it.
    Allow {
        /// Their ids, in order, for the audit event.
        policies: Vec<String>,
    },
    /// No policy permits it, or one forbids it.
    Deny,
}

/// One module's policies, strictly validated against the schema made from its declaration.
#[derive(Debug)]
pub struct Policies {
    schema: Schema,
    account_type: EntityTypeName,
    role_type: EntityTypeName,
    /// By entity, then by action.
    actions: BTreeMap<String, BTreeMap<String, Action>>,
}

impl Policies {
    /// Compiles and validates policy text, and asks for the scope of every action for a set of sample callers, so that a policy that no
    /// row filter can say is found when the server starts. A policy is named by its `@id`, or else by its number.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with policy and position.
    pub fn compile(module: &ModuleSchema, cedar: &str) -> Result<Self, PolicyError> {
        let (schema, _) = Schema::from_cedarschema_str(&schema::text(module)?)
            .map_err(|error| PolicyError::Schema(error.to_string()))?;
        let parsed = compile::policies(&schema, &module.name, cedar)?;
        let mut policies = Self {
            schema,
            account_type: type_name(module, ACCOUNT)?,
            role_type: type_name(module, ROLE)?,
            actions: BTreeMap::new(),
        };
        for (action, entity) in module.actions() {
            let compiled = Action::new(module, action, entity, &parsed)?;
            policies.actions.entry(entity.to_owned()).or_default().insert(action.to_owned(), compiled);
        }
        samples::ask(module, &policies)?;
        Ok(policies)
    }

    /// Whether the caller may do this to a row that has all fields that policies know, each of its declared type. Any other row is
    /// denied, and so is an action that no method declares.
    pub fn decide(&self, caller: &Subject<'_>, check: &Check, row: &Fields) -> Verdict {
        self.evaluate(caller, check, row).unwrap_or(Verdict::Deny)
    }

    /// `None` for a question that has no answer.
    fn evaluate(&self, caller: &Subject<'_>, check: &Check, row: &Fields) -> Option<Verdict> {
        let action = self.action(check)?;
        let caller_entity = caller.entity(&self.account_type, &self.role_type).ok()?;
        let entities = Entities::from_entities([caller_entity, action.row(row)?], None).ok()?;
        let request = Request::new(
            caller.uid(&self.account_type),
            action.uid.clone(),
            action.row.clone(),
            caller.context().ok()?,
            None,
        )
        .ok()?;
        let response = Authorizer::new().is_authorized(&request, &action.set, &entities);
        // A policy that fails is passed over. One that forbids must not be.
        if response.diagnostics().errors().next().is_some() {
            return None;
        }
        let mut policies: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        policies.sort();
        match response.decision() {
            cedar_policy::Decision::Allow => Some(Verdict::Allow { policies }),
            cedar_policy::Decision::Deny => Some(Verdict::Deny),
        }
    }

    /// The rows that the caller may do this to: exactly those that [`Self::decide`] allows.
    ///
    /// # Errors
    ///
    /// There is no exact answer. Nothing may be shown then.
    pub fn scope(&self, caller: &Subject<'_>, check: &Check) -> Result<Scope, ScopeError> {
        self.ruling(caller, check).map(|ruling| ruling.scope)
    }

    /// The same, and the policies that it follows from.
    ///
    /// # Errors
    ///
    /// As [`Self::scope`].
    pub fn ruling(&self, caller: &Subject<'_>, check: &Check) -> Result<Ruling, ScopeError> {
        let Some(action) = self.action(check) else {
            let Check { action, entity, unfiltered: _ } = check;
            return Err(ScopeError::UnknownAction { action: action.clone(), entity: entity.clone() });
        };
        let caller_entity = caller.entity(&self.account_type, &self.role_type).map_err(engine)?;
        let entities = Entities::from_entities([caller_entity], None).map_err(engine)?;
        let entities = PartialEntities::from_concrete(entities, &self.schema).map_err(engine)?;
        let request = PartialRequest::new(
            PartialEntityUid::from_concrete(caller.uid(&self.account_type)),
            action.uid.clone(),
            PartialEntityUid::new(action.row.type_name().clone(), None),
            Some(caller.context().map_err(engine)?),
            &self.schema,
        )
        .map_err(engine)?;
        rows(&action.set.tpe(&request, &entities, &self.schema).map_err(engine)?)
    }

    fn action(&self, check: &Check) -> Option<&Action> {
        self.actions.get(&check.entity)?.get(&check.action)
    }
}

/// The rows that some policy permits and none forbids.
fn rows(response: &TpeResponse<'_>) -> Result<Ruling, ScopeError> {
    // A policy that fails is passed over when rows are decided. One that forbids must not be.
    if let Some(policy) = response.error_permits().chain(response.error_forbids()).next() {
        return Err(ScopeError::Untranslatable { policy: policy.to_string(), what: "it fails".to_owned() });
    }
    let mut permitted: Vec<_> = response.true_permits().map(|id| (id.to_string(), Scope::Always)).collect();
    let mut forbidden: Vec<_> = response.true_forbids().map(|id| (id.to_string(), Scope::Always)).collect();
    for policy in response.residual_policies() {
        let left = policy.to_pst().map_err(|error| error.to_string());
        let scope = left
            .and_then(|left| residual::rows(left.body()))
            .map_err(|what| ScopeError::Untranslatable { policy: policy.id().to_string(), what })?;
        let about = (policy.id().to_string(), scope);
        match policy.effect() {
            Effect::Permit => permitted.push(about),
            Effect::Forbid => forbidden.push(about),
        }
    }
    Ok(Ruling::of(permitted, forbidden))
}

fn engine(error: impl ToString) -> ScopeError {
    ScopeError::Engine(error.to_string())
}

#[cfg(test)]
mod tests;
