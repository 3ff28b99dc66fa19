//! One method: its rule, and whether its request can be routed.

use std::sync::Arc;

use holdfast_domain::{Audience, Check, MethodRule, ModuleSchema, Rule};
use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};

use super::{
    DeclareError,
    options::{self, Options},
    word,
};
use crate::options::v1 as pb;

/// The field that every request to a module has.
pub const ROUTE_FIELD: &str = "route";

/// Its number.
pub const ROUTE_NUMBER: u32 = 1;

/// Its message.
pub const ROUTE_MESSAGE: &str = "holdfast.module.v1.Route";

/// One method as a server's guard sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: String,
    /// `package.Service`.
    pub service: String,
    /// What it needs of its caller.
    pub rule: MethodRule,
    /// The kinds of callers that get past the guard: the rule's own, or clients (and the anonymous) for the policies to decide about.
    pub admits: Rule,
    /// The rule's name in audit events.
    pub rule_id: String,
    /// Request or response is a stream, so that it may last.
    pub streams: bool,
    /// The module that it belongs to; a method with a check has one.
    pub module: Option<Arc<ModuleSchema>>,
}

impl Method {
    pub(super) fn new(
        service: &str,
        path: String,
        DeclaredRule { needs: rule, admits }: DeclaredRule,
        streams: bool,
        module: Option<Arc<ModuleSchema>>,
    ) -> Self {
        let rule_id = match &rule {
            MethodRule::Audience(rule) => {
                let audiences: Vec<_> = rule.audiences().map(Audience::as_str).collect();
                format!("allow:{}", audiences.join("+"))
            }
            MethodRule::Check(Check { action, entity, unfiltered: _ }) => {
                let namespace = module.as_ref().map_or("", |module| module.name.as_str());
                format!("check:{namespace}::{entity}.{action}")
            }
        };
        Self { path, service: service.to_owned(), rule, admits, rule_id, streams, module }
    }
}

/// A method's rule, and whom the guard lets through to it.
pub(super) struct DeclaredRule {
    pub(super) needs: MethodRule,
    admits: Rule,
}

impl From<Rule> for DeclaredRule {
    fn from(rule: Rule) -> Self {
        Self { needs: MethodRule::Audience(rule.clone()), admits: rule }
    }
}

/// A method's rule; `None` when it has none, or one that says nothing.
pub(super) fn rule_of(
    method: &MethodDescriptor,
    options: &Options<'_>,
) -> Result<Option<DeclaredRule>, DeclareError> {
    let name = method.full_name();
    let rule = options.read(options::RULE, name, &method.options())?;
    let Some(pb::Rule { allow, check }) = rule else { return Ok(None) };
    match check {
        Some(_) if !allow.is_empty() => Err(DeclareError::Both(name.to_owned())),
        Some(check) => check_of(name, check).map(Some),
        None => {
            let audience = |number| {
                audience(number)
                    .ok_or_else(|| DeclareError::Audience { method: name.to_owned(), audience: number })
            };
            let audiences = allow.into_iter().map(audience).collect::<Result<Vec<_>, _>>()?;
            Ok(Rule::new(audiences).map(DeclaredRule::from))
        }
    }
}

/// Whether a request carries its route where the guard looks for it.
pub(super) fn has_route(request: &MessageDescriptor) -> bool {
    request.get_field(ROUTE_NUMBER).is_some_and(|field| {
        let routes = matches!(field.kind(), Kind::Message(message) if message.full_name() == ROUTE_MESSAGE);
        routes && field.name() == ROUTE_FIELD && !field.is_list() && field.containing_oneof().is_none()
    })
}

fn check_of(method: &str, check: pb::Check) -> Result<DeclaredRule, DeclareError> {
    let pb::Check { action, entity, unfiltered, anonymous } = check;
    word::lower(method, "the action", &action)?;
    if unfiltered.as_deref().is_some_and(|reason| reason.trim().is_empty()) {
        let (of, form) = (method.to_owned(), "a reason that an auditor can read");
        return Err(DeclareError::Word { of, what: "`unfiltered`", word: String::new(), form });
    }
    let admits = Rule::only(if anonymous { Audience::Public } else { Audience::Client });
    Ok(DeclaredRule { needs: MethodRule::Check(Check { action, entity, unfiltered }), admits })
}

fn audience(number: i32) -> Option<Audience> {
    use pb::Audience as Wire;
    match Wire::try_from(number).ok()? {
        Wire::Unspecified => None,
        Wire::Public => Some(Audience::Public),
        Wire::Client => Some(Audience::Client),
        Wire::Node => Some(Audience::Node),
        Wire::Registry => Some(Audience::Registry),
        Wire::Operator => Some(Audience::Operator),
        Wire::Module => Some(Audience::Module),
    }
}
