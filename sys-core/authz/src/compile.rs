//! From policy text to policies that are known to be about what the module declares, and to be sayable as row filters.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use crate::{
    error::{Place, PolicyError},
    limits::{MAX_POLICIES, MAX_POLICY_BYTES},
    schema::ROLE,
    shape,
    subject::is_role,
};

/// A policy and where its text begins.
struct Placed {
    start: usize,
    policy: Policy,
}

/// Parses and checks policy text.
pub(crate) fn policies(schema: &Schema, namespace: &str, text: &str) -> Result<Vec<Policy>, PolicyError> {
    let parsed = parse(text)?;
    let set = PolicySet::from_policies(parsed.iter().map(|placed| placed.policy.clone()))
        .map_err(|error| PolicyError::Schema(error.to_string()))?;
    validate(schema, &set, &parsed, text)?;
    for placed in &parsed {
        for literal in placed.policy.entity_literals() {
            if !may_name(&literal, namespace) {
                let place = placed.place(text, placed.start);
                return Err(PolicyError::Literal { place, literal: literal.to_string() });
            }
        }
        let form = placed.policy.to_pst().map_err(|error| error.to_string());
        form.and_then(|policy| shape::check(policy.body()))
            .map_err(|what| PolicyError::Untranslatable { place: placed.place(text, placed.start), what })?;
    }
    Ok(parsed.into_iter().map(|placed| placed.policy).collect())
}

/// The policies in the order of the text, named by their `@id` or number.
fn parse(text: &str) -> Result<Vec<Placed>, PolicyError> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyError::TooLong { bytes: text.len() });
    }
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        let first = errors.iter().map(|error| (offset(error).unwrap_or(0), error.to_string())).min();
        let (start, message) = first.unwrap_or_default();
        let (line, column) = position(text, start);
        PolicyError::Parse { line, column, message }
    })?;
    if let Some(template) = set.templates().next() {
        return Err(PolicyError::Template(template.id().to_string()));
    }
    if set.num_of_policies() > MAX_POLICIES {
        return Err(PolicyError::TooMany { policies: set.num_of_policies() });
    }
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::new();
    for policy in set.policies() {
        let start = policy.as_ref().loc().map_or(0, |place| place.start());
        let id = policy.annotation("id").map_or_else(|| policy.id().to_string(), str::to_owned);
        let policy = policy.new_id(PolicyId::new(&id));
        if !seen.insert(id.clone()) {
            return Err(PolicyError::Twice { what: "policy", name: id });
        }
        parsed.push(Placed { start, policy });
    }
    parsed.sort_by_key(|placed| placed.start);
    Ok(parsed)
}

/// Strict validation; what the validator only warns of (a policy that never applies, text that reads as another) is a mistake here.
fn validate(schema: &Schema, set: &PolicySet, parsed: &[Placed], text: &str) -> Result<(), PolicyError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let finding = |policy: &PolicyId, at: Option<usize>, message: String| {
        let start = || parsed.iter().find(|placed| placed.policy.id() == policy).map(|placed| placed.start);
        (at.or_else(start).unwrap_or(0), policy.to_string(), message)
    };
    let errors = result.validation_errors();
    let errors = errors.map(|error| finding(error.policy_id(), offset(error), error.to_string()));
    let warnings = result.validation_warnings();
    let warnings = warnings.map(|warning| finding(warning.policy_id(), offset(warning), warning.to_string()));
    // A mistake often makes its policy impossible as well, and says more than the warning of that.
    match errors.min().or_else(|| warnings.min()) {
        None => Ok(()),
        Some((at, policy, message)) => {
            let (line, column) = position(text, at);
            Err(PolicyError::Invalid { place: Place { policy, line, column }, message })
        }
    }
}

/// Roles that exist, and actions, which validation knows; accounts and rows are no business of a module's policies.
fn may_name(literal: &EntityUid, namespace: &str) -> bool {
    let ty = literal.type_name();
    match ty.namespace() == namespace {
        true if ty.basename() == ROLE => is_role(literal.id().unescaped()),
        true => ty.basename() == "Action",
        false => false,
    }
}

impl Placed {
    fn place(&self, text: &str, at: usize) -> Place {
        let (line, column) = position(text, at);
        Place { policy: self.policy.id().to_string(), line, column }
    }
}

/// Where an error points.
fn offset(error: &dyn Diagnostic) -> Option<usize> {
    error.labels()?.map(|label| label.offset()).min()
}

/// The line and column of a byte, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let lines = before.matches('\n').count().saturating_add(1);
    let column = before.get(line_start..).unwrap_or_default().chars().count().saturating_add(1);
    (lines, column)
}

#[cfg(test)]
mod tests;
