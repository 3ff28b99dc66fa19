//! What partial evaluation leaves of a policy, as rows.
//!
//! The caller's side is values by now. An expression that is not one of the known forms is an error: a guess would be a wider filter
//! in a policy that permits, or under a negation, or a narrower one in a policy that forbids.

use std::collections::BTreeSet;

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, Expr, Literal, PrincipalConstraint, ResourceConstraint, Template,
    UnaryOp, Var,
};
use holdfast_domain::FieldValue;

use crate::{
    filter::{RowFilter, Test},
    scope::Scope,
};

/// The rows that a residual policy is about.
///
/// # Errors
///
/// What cannot be said.
pub(crate) fn rows(policy: &Template) -> Result<Scope, String> {
    match (&policy.principal, &policy.action, &policy.resource) {
        (PrincipalConstraint::Any, ActionConstraint::Any, ResourceConstraint::Any) => {}
        _ => return Err("partial evaluation left a constraint".to_owned()),
    }
    let conditions = policy.clauses().iter().map(|clause| match clause {
        Clause::When(condition) => translate(condition),
        Clause::Unless(condition) => translate(condition).map(Scope::negated),
    });
    conditions.collect::<Result<Vec<_>, _>>().map(Scope::all)
}

fn translate(expr: &Expr) -> Result<Scope, String> {
    match expr {
        Expr::Literal(Literal::Bool(always)) => Ok(Scope::from(*always)),
        Expr::GetAttr { .. } => {
            Ok(test(field(expr).ok_or_else(|| unsaid(expr))?, Test::Is(FieldValue::Bool(true))))
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => translate(expr).map(Scope::negated),
        Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } => {
            let empty = FieldValue::TextSet(BTreeSet::new());
            Ok(test(field(expr).ok_or_else(|| unsaid(expr))?, Test::Is(empty)))
        }
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            Ok(Scope::all([translate(left)?, translate(right)?]))
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            Ok(Scope::any([translate(left)?, translate(right)?]))
        }
        Expr::BinaryOp { op, left, right } => {
            let rows = match (field(left), field(right)) {
                (Some(name), None) => field_first(*op, name, right),
                (None, Some(name)) => value_first(*op, left, name),
                (Some(_), Some(_)) | (None, None) => None,
            };
            rows.ok_or_else(|| unsaid(expr))
        }
        _ => Err(unsaid(expr)),
    }
}

/// `resource.name op value`
fn field_first(op: BinaryOp, name: &str, value: &Expr) -> Option<Scope> {
    let contains = |value| match value {
        FieldValue::Text(text) => Some(test(name, Test::Contains(text))),
        FieldValue::Bool(_) | FieldValue::Long(_) | FieldValue::TextSet(_) => None,
    };
    match op {
        BinaryOp::Eq => Some(test(name, Test::Is(constant(value)?))),
        BinaryOp::NotEq => field_first(BinaryOp::Eq, name, value).map(Scope::negated),
        BinaryOp::Less => Some(test(name, Test::Below(number(value)?))),
        BinaryOp::LessEq => Some(test(name, Test::AtMost(number(value)?))),
        BinaryOp::Greater => field_first(BinaryOp::LessEq, name, value).map(Scope::negated),
        BinaryOp::GreaterEq => field_first(BinaryOp::Less, name, value).map(Scope::negated),
        BinaryOp::Contains => contains(constant(value)?),
        BinaryOp::ContainsAny => {
            elements(value)?.into_iter().map(contains).collect::<Option<Vec<_>>>().map(Scope::any)
        }
        BinaryOp::ContainsAll => {
            elements(value)?.into_iter().map(contains).collect::<Option<Vec<_>>>().map(Scope::all)
        }
        _ => None,
    }
}

/// `value op resource.name`
fn value_first(op: BinaryOp, value: &Expr, name: &str) -> Option<Scope> {
    match op {
        BinaryOp::Less => field_first(BinaryOp::Greater, name, value),
        BinaryOp::LessEq => field_first(BinaryOp::GreaterEq, name, value),
        BinaryOp::Greater => field_first(BinaryOp::Less, name, value),
        BinaryOp::GreaterEq => field_first(BinaryOp::LessEq, name, value),
        BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::ContainsAny => field_first(op, name, value),
        BinaryOp::Contains => match elements(value)? {
            none if none.is_empty() => Some(Scope::Never),
            values => Some(test(name, Test::OneOf(values))),
        },
        _ => None,
    }
}

fn test(name: &str, test: Test) -> Scope {
    Scope::Rows(RowFilter::Field(name.to_owned(), test))
}

/// The field that an expression is.
fn field(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::GetAttr { expr, attr } if matches!(**expr, Expr::Var(Var::Resource)) => Some(attr),
        _ => None,
    }
}

/// The value that an expression is.
fn constant(expr: &Expr) -> Option<FieldValue> {
    match expr {
        Expr::Literal(Literal::Bool(value)) => Some(FieldValue::Bool(*value)),
        Expr::Literal(Literal::Long(value)) => Some(FieldValue::Long(*value)),
        Expr::Literal(Literal::String(value)) => Some(FieldValue::Text(value.to_string())),
        Expr::Set(_) => {
            let texts = elements(expr)?.into_iter().map(|element| match element {
                FieldValue::Text(text) => Some(text),
                FieldValue::Bool(_) | FieldValue::Long(_) | FieldValue::TextSet(_) => None,
            });
            texts.collect::<Option<_>>().map(FieldValue::TextSet)
        }
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(Literal::Long(value)) => Some(*value),
        _ => None,
    }
}

/// The values in a set of values.
fn elements(expr: &Expr) -> Option<BTreeSet<FieldValue>> {
    match expr {
        Expr::Set(elements) => elements.iter().map(|element| constant(element)).collect(),
        _ => None,
    }
}

fn unsaid(expr: &Expr) -> String {
    format!("no row filter can say {expr}")
}

#[cfg(test)]
mod tests;
