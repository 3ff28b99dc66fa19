//! Filter ≡ decision: the gate for every change of the engine or the translator.

use std::{cell::Cell, env, time::UNIX_EPOCH};

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, RngSeed, TestRunner},
};

use super::*;
use crate::fixture::texts;

const CASES: u32 = 250;
const CALLERS: usize = 6;
const ROWS: usize = 8;

/// Conditions on the caller alone.
fn caller_condition() -> impl Strategy<Value = String> {
    let role = select(vec!["guest", "user", "admin", "superadmin", "owner"]);
    prop_oneof![
        role.clone().prop_map(|role| format!("principal in notes::Role::\"{role}\"")),
        (role.clone(), role)
            .prop_map(|(a, b)| format!("principal in [notes::Role::\"{a}\", notes::Role::\"{b}\"]")),
        select(vec!["guest_of", "user_of", "admin_of"])
            .prop_map(|set| format!("principal.{set}.contains(\"{}\")", project(1))),
        Just("principal.user_of.isEmpty()".to_owned()),
        Just("principal.id like \"e*\"".to_owned()),
        Just("principal is notes::Account in notes::Role::\"user\"".to_owned()),
        Just("(context has via && context.via == \"mail\")".to_owned()),
    ]
}

/// Conditions on the row, mostly with the caller.
fn row_condition() -> impl Strategy<Value = String> {
    let compare = select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let number = select(vec!["0", "1", "-2", "9223372036854775807", "-9223372036854775808"]);
    let set = select(vec!["principal.guest_of", "principal.admin_of", "[\"red\", \"blue\"]", "[\"red\"]"]);
    let field = select(vec!["owner", "project"]);
    prop_oneof![
        Just("resource.public".to_owned()),
        Just("resource.public == true".to_owned()),
        Just("resource.public == (principal in notes::Role::\"admin\")".to_owned()),
        Just("resource is notes::Note".to_owned()),
        Just("resource.tags.isEmpty()".to_owned()),
        Just("resource.tags.contains(principal.id)".to_owned()),
        Just("[0, 1, -2].contains(resource.size)".to_owned()),
        Just(
            "resource.owner == (if principal in notes::Role::\"user\" then principal.id else \"red\")"
                .to_owned()
        ),
        Just(
            "(if principal in notes::Role::\"user\" then resource.owner else resource.project) == \"red\""
                .to_owned()
        ),
        (field.clone(), select(vec!["==", "!="]))
            .prop_map(|(field, op)| format!("resource.{field} {op} principal.id")),
        (compare.clone(), number.clone()).prop_map(|(op, number)| format!("resource.size {op} {number}")),
        (compare, number).prop_map(|(op, number)| format!("{number} {op} resource.size")),
        (set.clone(), field).prop_map(|(set, field)| format!("{set}.contains(resource.{field})")),
        set.clone().prop_map(|set| format!("resource.tags == {set}")),
        set.clone().prop_map(|set| format!("resource.tags.containsAll({set})")),
        set.clone().prop_map(|set| format!("resource.tags.containsAny({set})")),
        set.prop_map(|set| format!("{set}.containsAny(resource.tags)")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![1 => caller_condition(), 4 => row_condition()];
    leaf.prop_recursive(3, 10, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (caller_condition(), inner.clone(), inner)
                .prop_map(|(test, a, b)| format!("(if {test} then ({a}) else ({b}))")),
        ]
    })
}

fn policy() -> impl Strategy<Value = String> {
    let principal = select(vec!["", "", "", " in notes::Role::\"user\"", " is notes::Account"]);
    let action = select(vec![
        "",
        " == notes::Action::\"Note.get\"",
        " == notes::Action::\"Note.get\"",
        " in [notes::Action::\"Note.get\", notes::Action::\"Note.delete\"]",
        " == notes::Action::\"Note.delete\"",
    ]);
    let clause = (select(vec!["when", "when", "unless"]), condition())
        .prop_map(|(word, c)| format!(" {word} {{ {c} }}"));
    (
        select(vec!["permit", "permit", "permit", "forbid"]),
        principal,
        action,
        prop::collection::vec(clause, 1..3),
    )
        .prop_map(|(effect, principal, action, clauses)| {
            let clauses = clauses.concat();
            format!("{effect}(principal{principal}, action{action}, resource is notes::Note){clauses};\n")
        })
}

fn caller() -> impl Strategy<Value = (Standing, Option<&'static str>)> {
    let role =
        || select(vec![None, Some(Role::Guest), Some(Role::User), Some(Role::Admin), Some(Role::SuperAdmin)]);
    (any::<bool>(), role(), role(), role(), select(vec![None, Some("mail"), Some("files")])).prop_map(
        |(owner, role, first, second, via)| {
            let projects = [(1, first), (2, second)];
            let projects =
                projects.into_iter().filter_map(|(number, role)| Some((project(number), role?))).collect();
            (Standing { owner, role, projects }, via)
        },
    )
}

fn row() -> impl Strategy<Value = Fields> {
    let name =
        || select(vec![ME.to_string(), project(1).to_string(), project(2).to_string(), "red".to_owned()]);
    let tags = subsequence(vec!["red", "blue"], 0..=2);
    let marks = subsequence(vec![ME.to_string(), project(1).to_string()], 0..=1);
    let size = select(vec![0, 1, -2, -3, i64::MAX, i64::MIN]);
    (name(), name(), tags, marks, size, any::<bool>()).prop_map(
        |(owner, project, tags, marks, size, public)| {
            let all: Vec<_> = tags.into_iter().chain(marks.iter().map(String::as_str)).collect();
            Fields::from([
                ("owner".to_owned(), FieldValue::Text(owner)),
                ("project".to_owned(), FieldValue::Text(project)),
                ("tags".to_owned(), texts(&all)),
                ("size".to_owned(), FieldValue::Long(size)),
                ("public".to_owned(), FieldValue::Bool(public)),
            ])
        },
    )
}

/// How often each kind of answer was seen.
#[derive(Default, Debug)]
struct Seen {
    impossible: Cell<usize>,
    never: Cell<usize>,
    always: Cell<usize>,
    rows: Cell<usize>,
    allowed: Cell<usize>,
    denied: Cell<usize>,
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

fn compare(
    text: &str,
    callers: &[(Standing, Option<&str>)],
    rows: &[Fields],
    seen: &Seen,
) -> Result<(), TestCaseError> {
    let policies = match Policies::compile(&notes(), text) {
        // The validator proved that a policy never applies.
        Err(PolicyError::Invalid { message, .. }) if message.contains("impossible") => {
            count(&seen.impossible);
            return Ok(());
        }
        compiled => compiled.map_err(|error| TestCaseError::fail(error.to_string()))?,
    };
    let get = check("Note", "get");
    for (standing, via) in callers {
        let caller = Subject { account: Some(ME), standing, via: *via };
        let scope = policies.scope(&caller, &get).map_err(|error| TestCaseError::fail(error.to_string()))?;
        count(match &scope {
            Scope::Never => &seen.never,
            Scope::Always => &seen.always,
            Scope::Rows(_) => &seen.rows,
        });
        for row in rows {
            let allowed = policies.decide(&caller, &get, row) != Verdict::Deny;
            count(if allowed { &seen.allowed } else { &seen.denied });
            prop_assert_eq!(scope.admits(row), allowed, "{:?} of {:?}: {:?}", scope, caller, row);
        }
    }
    Ok(())
}

#[test]
fn invariant_a_scope_admits_what_is_decided() {
    let fixed = env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = fixed.unwrap_or_else(|| u64::from(UNIX_EPOCH.elapsed().unwrap().subsec_nanos()));
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let seen = Seen::default();
    let input = (
        prop::collection::vec(policy(), 1..5).prop_map(|policies| policies.concat()),
        prop::collection::vec(caller(), CALLERS),
        prop::collection::vec(row(), ROWS),
    );
    TestRunner::new(config)
        .run(&input, |(text, callers, rows)| compare(&text, &callers, &rows, &seen))
        .unwrap_or_else(|failure| {
            panic!(
                "{failure}\nagain: PROPTEST_RNG_SEED={seed} cargo test -p holdfast-authz invariant_a_scope"
            )
        });
    for kind in [&seen.never, &seen.always, &seen.rows, &seen.allowed, &seen.denied] {
        assert!(kind.get() > 50, "too few of one kind with seed {seed}: {seen:?}");
    }
    println!("{seen:?}");
}
