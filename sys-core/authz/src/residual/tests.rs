use std::sync::Arc;

use cedar_policy::Policy;

use super::*;

/// The translation of a condition, as if partial evaluation had left it.
fn left(condition: &str) -> Result<Scope, String> {
    let policy =
        Policy::parse(None, format!("permit(principal, action, resource) when {{ {condition} }};")).unwrap();
    rows(policy.to_pst().unwrap().body())
}

fn field(name: &str, test: Test) -> RowFilter {
    RowFilter::Field(name.to_owned(), test)
}

fn number(value: i64) -> Test {
    Test::Is(FieldValue::Long(value))
}

#[test]
fn comparisons_translate_from_either_side() {
    let not = |filter| RowFilter::Not(Box::new(filter));
    for (condition, filter) in [
        ("resource.n == 3", field("n", number(3))),
        ("3 == resource.n", field("n", number(3))),
        ("resource.n != 3", not(field("n", number(3)))),
        ("resource.n < 3", field("n", Test::Below(3))),
        ("3 > resource.n", field("n", Test::Below(3))),
        ("resource.n <= 3", field("n", Test::AtMost(3))),
        ("3 >= resource.n", field("n", Test::AtMost(3))),
        ("resource.n > 3", not(field("n", Test::AtMost(3)))),
        ("3 < resource.n", not(field("n", Test::AtMost(3)))),
        ("resource.n >= 3", not(field("n", Test::Below(3)))),
        ("3 <= resource.n", not(field("n", Test::Below(3)))),
    ] {
        assert_eq!(left(condition), Ok(Scope::Rows(filter)), "{condition}");
    }
}

#[test]
fn constants_disappear() {
    assert_eq!(left("resource.a || true"), Ok(Scope::Always));
    assert_eq!(left("resource.a && false"), Ok(Scope::Never));
    assert_eq!(left("!(resource.a && false)"), Ok(Scope::Always));
    assert_eq!(left("[].contains(resource.a)"), Ok(Scope::Never));
    assert_eq!(left("resource.a.containsAny([])"), Ok(Scope::Never));
    assert_eq!(left("resource.a.containsAll([])"), Ok(Scope::Always));
    assert_eq!(left("!!resource.a && true"), Ok(Scope::Rows(field("a", Test::Is(FieldValue::Bool(true))))));
}

#[test]
fn invariant_what_is_not_known_is_an_error() {
    for condition in [
        "principal.a",
        "resource.a.b",
        "resource.a == principal.a",
        "resource.a == resource.b",
        "resource.a == {\"x\": 1}",
        "resource.a == [1]",
        "resource.a == [[\"x\"]]",
        "resource.a == A::\"x\"",
        "resource.a < \"x\"",
        "resource.a.contains(1)",
        "resource.a.contains([\"x\"])",
        "resource.a.containsAny([1])",
        "resource.a.containsAny(\"x\")",
        "[\"x\"].containsAll(resource.a)",
        "\"x\".contains(resource.a)",
        "resource.a + 1 == 2",
        "resource.a in A::\"x\"",
        "resource is A",
        "resource has a",
        "resource.a like \"x\"",
        "resource.hasTag(\"x\")",
        "resource.getTag(\"x\") == 1",
        "if resource.a then true else false",
        "context has via",
        "1",
        "\"x\"",
        "resource",
        "[\"x\"].isEmpty()",
        "resource.a || resource.b like \"x\"",
        "resource.a && !(resource.b like \"x\")",
    ] {
        assert!(left(condition).is_err(), "{condition}: {:?}", left(condition));
    }
    assert!(translate(&Expr::ResidualError).is_err());
    assert!(translate(&Expr::Unknown { name: "x".into() }).is_err());
    let error = Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::new(Expr::ResidualError) };
    assert!(translate(&error).is_err());
}

#[test]
fn a_constraint_that_is_left_is_an_error() {
    for policy in [
        "permit(principal == A::\"x\", action, resource);",
        "permit(principal, action == Action::\"x\", resource);",
        "permit(principal, action, resource is A);",
    ] {
        assert!(rows(Policy::parse(None, policy).unwrap().to_pst().unwrap().body()).is_err(), "{policy}");
    }
}
