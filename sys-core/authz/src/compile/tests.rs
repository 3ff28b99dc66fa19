use crate::{Policies, PolicyError, ScopeError, fixture::notes, limits::*};

fn refused(cedar: &str) -> String {
    Policies::compile(&notes(), cedar).unwrap_err().to_string()
}

/// A policy on line 2 with this condition.
fn when(condition: &str) -> String {
    format!(
        "\n@id(\"one\") permit(principal, action == notes::Action::\"Note.get\", resource) when {{ {condition} }};"
    )
}

#[test]
fn what_is_no_policy_is_refused_with_its_place() {
    assert!(refused("permit(principal, action, resource);\n\nperm").starts_with("3:"));
    let extension = refused("\npermit(principal, action, resource) when { ip(\"10.0.0.1\").isIpv4() };");
    assert!(extension.starts_with("policy `policy0` (2:1): "), "{extension}");
}

#[test]
fn too_much_is_refused() {
    let long = "/".repeat(MAX_POLICY_BYTES + 1);
    assert!(matches!(Policies::compile(&notes(), &long), Err(PolicyError::TooLong { .. })));
    let many = "permit(principal, action, resource);\n".repeat(MAX_POLICIES + 1);
    assert!(matches!(Policies::compile(&notes(), &many), Err(PolicyError::TooMany { .. })));
    let deep = when(&vec!["resource.public"; MAX_DEPTH + 2].join(" || "));
    assert_eq!(refused(&deep), "policy `one` (2:1): the condition is nested too deeply");
}

#[test]
fn templates_and_two_policies_of_one_name_are_refused() {
    assert_eq!(
        refused("permit(principal == ?principal, action, resource);"),
        "policy `policy0` is a template"
    );
    let twice =
        "@id(\"a\") permit(principal, action, resource); @id(\"a\") forbid(principal, action, resource);";
    assert_eq!(refused(twice), "policy `a` is declared twice");
}

#[test]
fn what_the_module_does_not_declare_is_refused_with_policy_and_place() {
    for (cedar, names) in [
        (when("resource.colour == \"red\""), "colour"),
        (when("resource.id == \"1\""), "id"),
        (when("resource.size == \"1\""), "String"),
        (when("principal.mail == \"1\""), "mail"),
        (when("context.via == \"files\""), "via"),
        (
            "\n@id(\"one\") permit(principal, action == notes::Action::\"Note.put\", resource);".to_owned(),
            "Note.put",
        ),
        ("\n@id(\"one\") permit(principal, action, resource is notes::Memo);".to_owned(), "Memo"),
        ("\n@id(\"one\") permit(principal, action, resource is files::File);".to_owned(), "File"),
    ] {
        let error = refused(&cedar);
        assert!(error.starts_with("policy `one` (2:") && error.contains(names), "{cedar}: {error}");
    }
}

#[test]
fn a_policy_that_can_never_apply_is_refused() {
    let never =
        "@id(\"one\") permit(principal, action == notes::Action::\"Note.get\", resource is notes::Folder);";
    assert!(refused(never).starts_with("policy `one` (1:"));
    assert!(refused(&when("resource.public && false")).contains("impossible"));
}

#[test]
fn only_roles_that_exist_can_be_named() {
    assert_eq!(
        refused(&when("principal in notes::Role::\"admni\"")),
        "policy `one` (2:1): policies cannot name notes::Role::\"admni\""
    );
    assert!(refused(&when("principal == notes::Account::\"me\"")).contains("cannot name notes::Account"));
    assert!(refused(&when("resource == notes::Note::\"row\"")).contains("cannot name notes::Note"));
    for role in ["guest", "user", "admin", "superadmin", "owner"] {
        Policies::compile(&notes(), &when(&format!("principal in notes::Role::\"{role}\""))).unwrap();
    }
}

#[test]
fn a_condition_that_no_row_filter_can_say_is_refused() {
    for condition in [
        "resource.owner == resource.project",
        "resource.owner like \"a*\"",
        "resource has owner && resource.public",
        "resource.size + 1 == 2",
        "resource.size == 1 + 1",
        "resource.size == -(1 - 2)",
        "(if resource.public then resource.owner else resource.project) == principal.id",
        "(if principal in notes::Role::\"user\" then resource.owner else \"x\") == principal.id",
        "if resource.public then resource.size < 1 else resource.size > 1",
        "[resource.owner, \"x\"].contains(principal.id)",
        "[\"x\"].containsAll(resource.tags)",
        "resource.tags.contains(resource.owner)",
        "(resource.size < 3) == true",
        "{\"a\": resource.owner}.a == principal.id",
        "principal.guest_of.isEmpty() && resource.tags.containsAny(resource.tags)",
        "resource in [notes::Role::\"user\"] || resource.public",
    ] {
        let error = Policies::compile(&notes(), &when(condition)).unwrap_err();
        assert!(
            matches!(&error, PolicyError::Untranslatable { .. } | PolicyError::Invalid { .. }),
            "{condition}: {error}"
        );
        assert!(error.to_string().starts_with("policy `one` (2:"), "{error}");
    }
}

/// No sample caller is in the project that this asks for: only the text tells.
#[test]
fn a_condition_that_no_sample_reaches_is_refused_too() {
    let error = refused(&when("principal.admin_of.contains(\"ff\") && resource.owner like \"a*\""));
    assert!(error.starts_with("policy `one` (2:1): `has`, `like`"), "{error}");
}

#[test]
fn an_error_of_a_sample_says_which_and_why() {
    let source = ScopeError::Untranslatable { policy: "one".into(), what: "it fails".into() };
    let error = PolicyError::Sample { action: "get".into(), entity: "Note".into(), source };
    assert_eq!(error.to_string(), "Note.get");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "policy `one`: it fails");
}
