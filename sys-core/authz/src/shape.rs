//! Which conditions a row filter can say, decided on a policy's text, before there is a caller.
//!
//! What does not mention the row is known as soon as the caller is, so that partial evaluation leaves a value of it. What does mention
//! the row must have one of the forms that [`crate::residual`] translates: a field of the row against such a value, and the logic of
//! these. Arithmetic is refused everywhere: an overflow is the one error that validation cannot exclude, and a forbidding policy that
//! fails would forbid nothing.

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, ResourceConstraint, Template, UnaryOp, Var};

use crate::limits::MAX_DEPTH;

/// What an expression turns into once the caller is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A value.
    Value,
    /// A field of the row.
    Field,
    /// A condition on the row.
    Condition,
}

/// Checks a policy's conditions.
///
/// # Errors
///
/// What cannot be said.
pub(crate) fn check(policy: &Template) -> Result<(), String> {
    match policy.resource {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
        ResourceConstraint::Eq(_) | ResourceConstraint::In(_) | ResourceConstraint::IsIn(..) => {
            return Err("rows have no identity and no parents in policies".to_owned());
        }
    }
    for clause in policy.clauses() {
        let (Clause::When(condition) | Clause::Unless(condition)) = clause;
        shape(condition, MAX_DEPTH)?;
    }
    Ok(())
}

fn shape(expr: &Expr, depth: usize) -> Result<Shape, String> {
    let depth = depth.checked_sub(1).ok_or("the condition is nested too deeply")?;
    match expr {
        Expr::Literal(_) | Expr::Var(Var::Principal | Var::Action | Var::Context) => Ok(Shape::Value),
        Expr::Var(Var::Resource) => Err("the row itself is no value, only its fields are".to_owned()),
        Expr::GetAttr { expr, .. } if is_row(expr) => Ok(Shape::Field),
        Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } | Expr::Like { expr, .. } => {
            value(expr, depth, "`has`, `like` and parts of fields")
        }
        Expr::Is { expr, in_expr: None, .. } if is_row(expr) => Ok(Shape::Value),
        Expr::Is { expr, in_expr, .. } => {
            if let Some(parent) = in_expr {
                value(parent, depth, "`in`")?;
            }
            value(expr, depth, "`is in`")
        }
        Expr::UnaryOp { op, expr } => unary(*op, expr, depth),
        Expr::BinaryOp { op, left, right } => binary(*op, left, right, depth),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            value(cond, depth, "`if`")?;
            let (then, otherwise) = (shape(then_expr, depth)?, shape(else_expr, depth)?);
            Ok(if then == otherwise { then } else { Shape::Condition })
        }
        Expr::Set(elements) => {
            for element in elements {
                value(element, depth, "sets")?;
            }
            Ok(Shape::Value)
        }
        _ => Err(unsaid(expr)),
    }
}

fn unary(op: UnaryOp, expr: &Expr, depth: usize) -> Result<Shape, String> {
    match op {
        UnaryOp::Not => Ok(logic([shape(expr, depth)?])),
        UnaryOp::IsEmpty => match shape(expr, depth)? {
            Shape::Value => Ok(Shape::Value),
            Shape::Field => Ok(Shape::Condition),
            Shape::Condition => Err(unsaid(expr)),
        },
        UnaryOp::Neg if matches!(expr, Expr::Literal(Literal::Long(_))) => Ok(Shape::Value),
        UnaryOp::Neg => Err("arithmetic may overflow".to_owned()),
        _ => Err(format!("`{op}` is not supported")),
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr, depth: usize) -> Result<Shape, String> {
    let sides = |what: &str| match (shape(left, depth)?, shape(right, depth)?) {
        (Shape::Value, Shape::Value) => Ok((Shape::Value, Shape::Value)),
        sides @ ((Shape::Field, Shape::Value) | (Shape::Value, Shape::Field)) => Ok(sides),
        _ => Err(format!("{what} is between a field of the row and a value: {left} and {right}")),
    };
    match op {
        BinaryOp::And | BinaryOp::Or => Ok(logic([shape(left, depth)?, shape(right, depth)?])),
        BinaryOp::Eq
        | BinaryOp::NotEq
        | BinaryOp::Less
        | BinaryOp::LessEq
        | BinaryOp::Greater
        | BinaryOp::GreaterEq
        | BinaryOp::Contains
        | BinaryOp::ContainsAny => sides(&format!("`{op}`")).map(|(left, right)| logic([left, right])),
        BinaryOp::ContainsAll => match sides("`containsAll`")? {
            (Shape::Value, Shape::Field) => Err("`containsAll` of a field's texts".to_owned()),
            (left, right) => Ok(logic([left, right])),
        },
        // Roles are no entities of their own: only the caller is known to be in some.
        BinaryOp::In if matches!(left, Expr::Var(Var::Principal)) => value(right, depth, "`in`"),
        BinaryOp::In => Err("`in` is for `principal`".to_owned()),
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => Err("arithmetic may overflow".to_owned()),
        _ => Err(format!("`{op}` is not supported")),
    }
}

/// What the logic of some expressions is.
fn logic<const N: usize>(parts: [Shape; N]) -> Shape {
    if parts.iter().all(|part| *part == Shape::Value) { Shape::Value } else { Shape::Condition }
}

/// An expression that must not mention the row.
fn value(expr: &Expr, depth: usize, what: &str) -> Result<Shape, String> {
    match shape(expr, depth)? {
        Shape::Value => Ok(Shape::Value),
        Shape::Field | Shape::Condition => Err(format!("{what} cannot depend on the row: {expr}")),
    }
}

fn unsaid(expr: &Expr) -> String {
    format!("no row filter can say {expr}")
}

fn is_row(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Resource))
}
