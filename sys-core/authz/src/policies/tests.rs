use super::*;
use crate::{
    Test,
    filter::RowFilter,
    fixture::{ME, check, me, note, notes, project, standing},
};
use holdfast_domain::{AccountId, FieldValue, OrgId, Role, Standing};

mod equivalence;

/// What a module of an organisation's data says.
const DOMAIN: &str = r#"
@id("members read")
permit(principal, action == notes::Action::"Note.get", resource)
when { principal in notes::Role::"guest" || principal.guest_of.contains(resource.project) };

@id("admins delete")
permit(principal, action == notes::Action::"Note.delete", resource)
when { principal in notes::Role::"admin" || principal.admin_of.contains(resource.project) };

@id("folders are the organisation's")
permit(principal in notes::Role::"admin", action == notes::Action::"Folder.get", resource);

@id("owners do all with what is theirs")
permit(principal in notes::Role::"owner", action, resource is notes::Note) when { resource.owner == principal.id };

@id("nobody deletes what is public")
forbid(principal, action == notes::Action::"Note.delete", resource) when { resource.public };

@id("the mailer only reads")
forbid(principal, action, resource)
when { context has via && context.via == "mail" } unless { action == notes::Action::"Note.get" };
"#;

const OTHER: AccountId = AccountId::new([0x11; 16]);

fn domain() -> Policies {
    Policies::compile(&notes(), DOMAIN).unwrap()
}

fn allows(caller: &Subject<'_>, entity: &str, action: &str, row: &Fields) -> bool {
    let (policies, check) = (domain(), check(entity, action));
    let allowed = policies.decide(caller, &check, row) != Verdict::Deny;
    assert_eq!(policies.scope(caller, &check).unwrap().admits(row), allowed);
    allowed
}

fn folder() -> Fields {
    Fields::from([("name".to_owned(), FieldValue::Text("a".to_owned()))])
}

#[test]
fn a_stranger_is_denied() {
    let stranger = Standing::default();
    for action in ["get", "delete"] {
        assert!(!allows(&me(&stranger), "Note", action, &note(ME, project(1))));
        assert_eq!(domain().scope(&me(&stranger), &check("Note", action)), Ok(Scope::Never));
    }
    assert_eq!(domain().scope(&me(&stranger), &check("Folder", "get")), Ok(Scope::Never));
}

#[test]
fn an_organisations_admin_is_admin_of_its_projects() {
    let admin = standing(Some(Role::Admin), &[]);
    assert!(allows(&me(&admin), "Note", "delete", &note(OTHER, project(1))));
    assert!(allows(&me(&admin), "Folder", "get", &folder()));
}

#[test]
fn a_projects_admin_is_no_organisation_admin() {
    let admin = standing(Some(Role::User), &[(1, Role::Admin)]);
    assert!(allows(&me(&admin), "Note", "delete", &note(OTHER, project(1))));
    assert!(!allows(&me(&admin), "Note", "delete", &note(OTHER, project(2))));
    assert!(!allows(&me(&admin), "Folder", "get", &folder()));
}

#[test]
fn of_several_roles_the_highest_counts_in_any_order() {
    let roles = [Role::Guest, Role::Admin, Role::User];
    for shift in 0..roles.len() {
        let mut held = Standing::default();
        for place in 0..roles.len() {
            let role = roles[(place + shift) % roles.len()];
            held.hold(holdfast_domain::Scope::Project(project(1)), role);
        }
        assert!(allows(&me(&held), "Note", "delete", &note(OTHER, project(1))));
        held.hold(holdfast_domain::Scope::Organisation(OrgId::new([9; 16])), Role::Guest);
        assert!(allows(&me(&held), "Note", "delete", &note(OTHER, project(1))));
        assert!(!allows(&me(&held), "Note", "delete", &note(OTHER, project(2))));
    }
}

#[test]
fn an_owner_is_owner_of_what_names_him() {
    let owner = Standing { owner: true, ..Standing::default() };
    assert!(allows(&me(&owner), "Note", "delete", &note(ME, project(1))));
    assert!(!allows(&me(&owner), "Note", "delete", &note(OTHER, project(1))));
    let scope = domain().scope(&me(&owner), &check("Note", "delete")).unwrap();
    let Scope::Rows(filter) = scope else { panic!("{scope:?}") };
    let hints = filter.index_hints(&|name| name == "owner").unwrap();
    assert_eq!(hints.into_iter().collect::<Vec<_>>(), [("owner", &FieldValue::Text(ME.to_string()))]);
}

#[test]
fn what_forbids_wins_over_all_that_permit() {
    let admin = standing(Some(Role::SuperAdmin), &[(1, Role::Admin)]);
    let mut public = note(ME, project(1));
    assert!(allows(&me(&admin), "Note", "delete", &public));
    public.insert("public".to_owned(), FieldValue::Bool(true));
    assert!(!allows(&me(&admin), "Note", "delete", &public));
    assert!(allows(&me(&admin), "Note", "get", &public));
}

#[test]
fn a_module_server_is_known_to_policies() {
    let admin = standing(Some(Role::Admin), &[]);
    let mail = Subject { via: Some("mail"), ..me(&admin) };
    let files = Subject { via: Some("files"), ..me(&admin) };
    let row = note(OTHER, project(1));
    assert!(allows(&mail, "Note", "get", &row) && !allows(&mail, "Note", "delete", &row));
    assert!(allows(&files, "Note", "delete", &row));
    assert_eq!(domain().scope(&mail, &check("Folder", "get")), Ok(Scope::Never));
}

#[test]
fn scopes_are_as_small_as_they_can_be() {
    let (policies, get) = (domain(), check("Note", "get"));
    assert_eq!(policies.scope(&me(&standing(Some(Role::Guest), &[])), &get), Ok(Scope::Always));
    let member = standing(None, &[(1, Role::Guest), (2, Role::User)]);
    let projects = [project(1), project(2)].map(|project| FieldValue::Text(project.to_string())).into();
    let filter = RowFilter::Field("project".to_owned(), Test::OneOf(projects));
    assert_eq!(policies.scope(&me(&member), &get), Ok(Scope::Rows(filter)));
}

#[test]
fn an_allowance_names_its_policies() {
    let owner = Standing { owner: true, ..Standing::default() };
    let verdict = domain().decide(&me(&owner), &check("Note", "get"), &note(ME, project(1)));
    let policies = vec!["members read".to_owned(), "owners do all with what is theirs".to_owned()];
    assert_eq!(verdict, Verdict::Allow { policies });
}

#[test]
fn a_scope_names_the_policies_that_it_follows_from() {
    let policies = Policies::compile(
        &notes(),
        &r#"
        @id("all of admins") permit(principal in notes::Role::"admin", action, resource);
        @id("own") permit(principal, action in ON_NOTES, resource) when { resource.owner == principal.id };
        @id("public") permit(principal in notes::Role::"user", action in ON_NOTES, resource)
            when { resource.public };
        @id("large") forbid(principal, action in ON_NOTES, resource) when { resource.size > 100 };
        @id("guests delete nothing") forbid(principal, action == notes::Action::"Note.delete", resource)
            unless { principal in notes::Role::"user" };
        "#
        .replace("ON_NOTES", r#"[notes::Action::"Note.get", notes::Action::"Note.delete"]"#),
    )
    .unwrap();
    let named = |role: Option<Role>, action| {
        let ruling = policies.ruling(&me(&standing(role, &[])), &check("Note", action)).unwrap();
        (ruling.scope == Scope::Never, ruling.policies.join(" + "))
    };
    assert_eq!(named(Some(Role::Admin), "get"), (false, "all of admins + large + own + public".to_owned()));
    assert_eq!(named(Some(Role::User), "get"), (false, "large + own + public".to_owned()));
    assert_eq!(named(None, "get"), (false, "large + own".to_owned()));
    assert_eq!(named(None, "delete"), (true, "guests delete nothing + large".to_owned()));
}

#[test]
fn no_policies_permit_nothing() {
    let none = Policies::compile(&notes(), "").unwrap();
    let god = standing(Some(Role::SuperAdmin), &[]);
    assert_eq!(none.decide(&me(&god), &check("Note", "get"), &note(ME, project(1))), Verdict::Deny);
    assert_eq!(none.scope(&me(&god), &check("Note", "get")), Ok(Scope::Never));
}

#[test]
fn an_action_that_no_method_declares_is_denied() {
    let god = standing(Some(Role::SuperAdmin), &[]);
    for unknown in [check("Note", "put"), check("Memo", "get"), check("Folder", "delete")] {
        assert_eq!(domain().decide(&me(&god), &unknown, &note(ME, project(1))), Verdict::Deny);
        let error = domain().scope(&me(&god), &unknown).unwrap_err();
        assert!(matches!(error, ScopeError::UnknownAction { .. }), "{error}");
    }
}

#[test]
fn a_row_that_lacks_a_field_or_has_another_type_is_denied() {
    let admin = standing(Some(Role::Admin), &[]);
    let whole = note(ME, project(1));
    for name in whole.keys() {
        let mut lacking = whole.clone();
        lacking.remove(name);
        assert_eq!(domain().decide(&me(&admin), &check("Note", "get"), &lacking), Verdict::Deny, "{name}");
        let other = if name == "size" { FieldValue::Bool(true) } else { FieldValue::Long(1) };
        lacking.insert(name.clone(), other);
        assert_eq!(domain().decide(&me(&admin), &check("Note", "get"), &lacking), Verdict::Deny, "{name}");
    }
}

#[test]
fn policies_are_shared_between_threads() {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Policies>();
}
