//! Who may do what to which rows, in a golden file; and that the rows a caller is given are those he may touch.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use holdfast_accounts_api::{
    DESCRIPTORS, Place,
    v1::{Login, MailToken, Membership, Organisation, Project, ProjectName},
};
use holdfast_authz::{Policies, Subject, Verdict};
use holdfast_domain::{AccountId, Check, Fields, ModuleSchema, OrgId, ProjectId, Role, Scope, Standing};
use holdfast_proto::declared::Declared;
use holdfast_sys_core::query::Entity;
use proptest::prelude::*;

use crate::POLICIES;

const ME: AccountId = AccountId::new([1; 16]);
const OTHER: AccountId = AccountId::new([2; 16]);
const OURS: ProjectId = ProjectId::new([3; 16]);
const THEIRS: ProjectId = ProjectId::new([4; 16]);

fn schema() -> Arc<ModuleSchema> {
    let declared = Declared::read(&[holdfast_proto::DESCRIPTORS, DESCRIPTORS]).unwrap();
    Arc::clone(declared.modules().iter().find(|module| module.name == crate::MODULE).unwrap())
}

fn policies() -> &'static Policies {
    static COMPILED: LazyLock<Policies> = LazyLock::new(|| Policies::compile(&schema(), POLICIES).unwrap());
    &COMPILED
}

fn holding(scopes: &[(Scope, Role)]) -> Standing {
    let mut standing = Standing::default();
    scopes.iter().for_each(|(scope, role)| standing.hold(*scope, *role));
    standing
}

/// Everybody that the matrix asks about. An owner stands as an admin.
fn callers() -> Vec<(&'static str, Standing)> {
    let org = Scope::Organisation(OrgId::new([9; 16]));
    let project = Scope::Project(OURS);
    vec![
        ("stranger", Standing::default()),
        ("p.guest", holding(&[(project, Role::Guest)])),
        ("p.user", holding(&[(project, Role::User)])),
        ("p.admin", holding(&[(project, Role::Admin)])),
        ("guest", holding(&[(org, Role::Guest)])),
        ("user", holding(&[(org, Role::User)])),
        ("u+p.admin", holding(&[(org, Role::User), (project, Role::Admin)])),
        ("admin", holding(&[(org, Role::Admin)])),
    ]
}

fn organisation(owner: AccountId) -> Fields {
    Organisation { owner: owner.as_bytes().to_vec().into(), ..Organisation::default() }.fields()
}

fn login(account: AccountId) -> Fields {
    Login { account: account.as_bytes().to_vec().into(), ..Login::default() }.fields()
}

fn mail_token(account: AccountId) -> Fields {
    MailToken { account: account.as_bytes().to_vec().into(), ..MailToken::default() }.fields()
}

fn project(id: ProjectId) -> Fields {
    Project { id: id.as_bytes().to_vec().into(), ..Project::default() }.fields()
}

fn membership(place: Place, account: AccountId, role: i32) -> Fields {
    let account = account.as_bytes().to_vec().into();
    Membership { scope: place.to_string(), account, role, since_ms: 0 }.fields()
}

/// Rows of each entity, by what they are.
fn rows() -> BTreeMap<&'static str, Vec<(String, Fields)>> {
    let places = [
        ("org", Place::Organisation),
        ("our project", Place::Project(OURS)),
        ("their project", Place::Project(THEIRS)),
    ];
    let mut memberships = Vec::new();
    for (place_name, place) in places {
        for (who, account) in [("me", ME), ("another", OTHER)] {
            for role in 0..=5 {
                let name = Role::try_from(role).map_or("no role".to_owned(), |role| role.as_str().to_owned());
                let name = if role == 5 { "role 5".to_owned() } else { name };
                memberships.push((format!("{who}, {name}, {place_name}"), membership(place, account, role)));
            }
        }
    }
    BTreeMap::from([
        (
            "Organisation",
            vec![("mine".to_owned(), organisation(ME)), ("another's".to_owned(), organisation(OTHER))],
        ),
        ("Project", vec![("ours".to_owned(), project(OURS)), ("theirs".to_owned(), project(THEIRS))]),
        ("ProjectName", vec![("any".to_owned(), ProjectName::default().fields())]),
        ("Membership", memberships),
        ("Login", vec![("mine".to_owned(), login(ME)), ("another's".to_owned(), login(OTHER))]),
        ("MailToken", vec![("mine".to_owned(), mail_token(ME)), ("another's".to_owned(), mail_token(OTHER))]),
    ])
}

/// The decision, which the scope must bear out.
fn allows(policies: &Policies, standing: &Standing, check: &Check, row: &Fields) -> bool {
    let subject = Subject { account: Some(ME), standing, via: None };
    let allowed = policies.decide(&subject, check, row) != Verdict::Deny;
    assert_eq!(policies.scope(&subject, check).unwrap().admits(row), allowed, "{check:?} {row:?}");
    allowed
}

fn checks() -> Vec<Check> {
    let schema = schema();
    let check = |(action, entity): (&str, &str)| Check {
        action: action.to_owned(),
        entity: entity.to_owned(),
        unfiltered: None,
    };
    schema.actions().into_iter().map(check).collect()
}

fn matrix() -> String {
    let (policies, rows) = (policies(), rows());
    let mut text = format!("{:<24} {:<36}", "ACTION", "ROW");
    callers().iter().for_each(|(caller, _)| write!(text, " {caller:>9}").unwrap());
    for check in checks() {
        for (name, row) in &rows[check.entity.as_str()] {
            // The role of a row matters to whoever would give it.
            if check.entity == "Membership" && check.action != "put" && !name.contains(", user,") {
                continue;
            }
            let action = format!("{}.{}", check.entity, check.action);
            write!(text, "\n{action:<24} {name:<36}").unwrap();
            for (_, standing) in callers() {
                let shown = if allows(policies, &standing, &check, row) { "yes" } else { "-" };
                write!(text, " {shown:>9}").unwrap();
            }
        }
    }
    text + "\n"
}

/// A change of who may do what shows up in review, as a change of this file.
#[test]
fn the_matrix_is_the_golden_one() {
    let shown = matrix();
    if std::env::var_os("HOLDFAST_WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/matrix.txt"), &shown).unwrap();
    }
    assert_eq!(
        shown,
        include_str!("matrix.txt"),
        "the matrix changed; if that is meant, run this test with HOLDFAST_WRITE_GOLDEN=1"
    );
}

#[test]
fn strangers_reach_nothing_but_what_they_make_themselves_and_the_doors_of_logins() {
    let (policies, standing) = (policies(), Standing::default());
    let subject = Subject { account: Some(ME), standing: &standing, via: None };
    for check in checks() {
        let scope = policies.scope(&subject, &check).unwrap();
        let named = format!("{}.{}", check.entity, check.action);
        match &*named {
            "Login.enter" | "MailToken.ask" | "MailToken.spend" => {
                assert_eq!(scope, holdfast_authz::Scope::Always, "{named}");
            }
            "Organisation.create"
            | "Login.create"
            | "Login.get"
            | "Login.change"
            | "Login.remove"
            | "MailToken.issue"
            | "MailToken.use" => {
                assert!(matches!(scope, holdfast_authz::Scope::Rows(_)), "{named}");
            }
            _ => assert_eq!(scope, holdfast_authz::Scope::Never, "{named}"),
        }
    }
}

#[test]
fn the_anonymous_reach_the_doors_of_logins_and_nothing_else() {
    let (policies, standing) = (policies(), Standing::default());
    let subject = Subject { account: None, standing: &standing, via: None };
    for check in checks() {
        let named = format!("{}.{}", check.entity, check.action);
        let door = ["Login.enter", "MailToken.ask", "MailToken.spend"].contains(&&*named);
        for rows in rows()[check.entity.as_str()].iter() {
            assert_eq!(policies.scope(&subject, &check).unwrap().admits(&rows.1), door, "{named}");
        }
    }
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Organisation),
        Just(Place::Project(OURS)),
        Just(Place::Project(THEIRS)),
        any::<[u8; 16]>().prop_map(|id| Place::Project(ProjectId::new(id))),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    let role = || prop_oneof![Just(Role::Guest), Just(Role::User), Just(Role::Admin), Just(Role::SuperAdmin)];
    (any::<bool>(), proptest::option::of(role()), proptest::option::of(role()), proptest::option::of(role()))
        .prop_map(|(owner, role, ours, theirs)| {
            let projects = [(OURS, ours), (THEIRS, theirs)];
            let projects = projects.into_iter().filter_map(|(id, role)| Some((id, role?))).collect();
            Standing { owner, role, projects }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn invariant_a_filter_admits_what_a_decision_allows(
        standing in standing(), place in place(), mine: bool, role in -1..6i32,
    ) {
        let (policies, account) = (policies(), if mine { ME } else { OTHER });
        let project_id = match place {
            Place::Organisation => OURS,
            Place::Project(id) => id,
        };
        for check in checks() {
            let row = match check.entity.as_str() {
                "Organisation" => organisation(account),
                "Project" => project(project_id),
                "ProjectName" => ProjectName::default().fields(),
                "Login" => login(account),
                "MailToken" => mail_token(account),
                _ => membership(place, account, role),
            };
            allows(policies, &standing, &check, &row);
        }
    }

    #[test]
    fn invariant_nobody_raises_himself_or_makes_a_superadmin(standing in standing(), place in place(), role in -1..6i32) {
        let put = Check { action: "put".to_owned(), entity: "Membership".to_owned(), unfiltered: None };
        prop_assert!(!allows(policies(), &standing, &put, &membership(place, ME, role)));
        if !(1..=3).contains(&role) {
            prop_assert!(!allows(policies(), &standing, &put, &membership(place, OTHER, role)));
        }
    }
}
