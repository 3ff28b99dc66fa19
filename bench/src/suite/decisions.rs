//! What policies cost: one row decided, the rows of a caller found, beside the same rules written by hand.

use std::hint::black_box;

use anyhow::Context as _;
use holdfast_authz::{Policies, Scope, Subject, Verdict};
use holdfast_domain::{
    AccountId, Check, EntitySchema, FieldSchema, FieldType, FieldValue, Fields, MethodRule, ModuleSchema,
    OrgId, ProjectId, Role, Scope as Held, Standing,
};

use super::Setting;
use crate::{
    figure::{Aim, Figure},
    measure::turns::{self, Count},
};

/// As a small module has them.
const POLICIES: &str = r#"
    permit(principal, action, resource) when { principal in notes::Role::"owner" };
    permit(principal, action, resource) when { principal in notes::Role::"admin" };
    permit(principal, action, resource) when { principal.admin_of.contains(resource.project) };
    permit(principal, action == notes::Action::"Note.get", resource) when { principal.guest_of.contains(resource.project) };
    permit(principal, action == notes::Action::"Note.get", resource) when { principal in notes::Role::"user" && resource.author == principal.id };
    forbid(principal, action, resource) when { resource.locked && !(principal in notes::Role::"admin") };
"#;

/// Modules that are loaded beside the measured one, with this many policies together.
const OTHERS: usize = 10;
const POLICIES_ELSEWHERE: usize = 1000;

const CALLER: AccountId = AccountId::new([1; 16]);
const PROJECT: ProjectId = ProjectId::new([2; 16]);

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let (check, standing, row) = (get(), standing(), row());
    let subject = Subject { account: Some(CALLER), standing: &standing, via: None };
    let decide = |module: &Policies| {
        let verdict = module.decide(&subject, &check, black_box(&row));
        anyhow::ensure!(matches!(verdict, Verdict::Allow { .. }), "the row is the caller's");
        Ok(())
    };
    let by_hand = || {
        anyhow::ensure!(allowed(&standing, CALLER, black_box(&row)), "the row is the caller's");
        Ok(())
    };
    let alone = notes("notes", POLICIES)?;
    let scope = || {
        anyhow::ensure!(matches!(alone.scope(&subject, &check)?, Scope::Rows(_)), "some rows");
        Ok(())
    };
    let compare = |ours: &dyn Fn() -> anyhow::Result<()>, reference: &dyn Fn() -> anyhow::Result<()>| {
        turns::compare(setting.span, Count::Thread, &mut || ours(), &mut || reference())
    };
    let decision = compare(&|| decide(&alone), &by_hand)?;
    let scopes = compare(&scope, &|| decide(&alone))?;
    let others = others()?;
    let beside = notes("notes", POLICIES)?;
    let loaded = compare(&|| decide(&beside), &|| decide(&alone))?;
    drop(others);
    Ok(vec![
        Figure::new("decision of one row: CPU", "us", decision.ours)
            .against(decision.reference, "the same rules written by hand")
            .aiming(Aim::AtMost(15.0)),
        Figure::new("scope of a call: CPU", "us", scopes.ours)
            .against(scopes.reference, "decision of one row"),
        Figure::new("decision with 1,000 policies in other modules: CPU", "us", loaded.ours)
            .against(loaded.reference, "with none")
            .aiming(Aim::RatioAtMost(1.05)),
    ])
}

/// The rules of [`POLICIES`] for `get`, as a careful developer would write them.
fn allowed(standing: &Standing, caller: AccountId, row: &Fields) -> bool {
    let text = |name| match row.get(name) {
        Some(FieldValue::Text(text)) => text.as_str(),
        _ => "",
    };
    let admin = standing.role >= Some(Role::Admin);
    let locked = row.get("locked") == Some(&FieldValue::Bool(true));
    let project = text("project").parse::<ProjectId>().ok();
    let member = project.is_some_and(|project| standing.projects.contains_key(&project));
    let author = standing.role >= Some(Role::User) && text("author") == caller.to_string();
    (admin || standing.owner || member || author) && (admin || !locked)
}

fn get() -> Check {
    Check { action: "get".to_owned(), entity: "Note".to_owned(), unfiltered: None }
}

fn standing() -> Standing {
    let mut standing = Standing::default();
    standing.hold(Held::Organisation(OrgId::new([3; 16])), Role::User);
    standing.hold(Held::Project(PROJECT), Role::Guest);
    standing
}

fn row() -> Fields {
    let text = |text: String| FieldValue::Text(text);
    Fields::from([
        ("author".to_owned(), text(AccountId::new([9; 16]).to_string())),
        ("project".to_owned(), text(PROJECT.to_string())),
        ("locked".to_owned(), FieldValue::Bool(false)),
    ])
}

fn notes(name: &str, policies: &str) -> anyhow::Result<Policies> {
    let field = |name: &str, ty| FieldSchema {
        name: name.to_owned(),
        ty,
        policy: true,
        indexed: false,
        secret: false,
    };
    let entity = EntitySchema {
        name: "Note".to_owned(),
        table: "note".to_owned(),
        key: vec!["author".to_owned()],
        fields: vec![
            field("author", FieldType::Text),
            field("project", FieldType::Text),
            field("locked", FieldType::Bool),
        ],
    };
    let module = ModuleSchema {
        name: name.to_owned(),
        tablespace: name.to_owned(),
        version: 1,
        entities: vec![entity],
        methods: [("/notes.v1.Notes/Get".to_owned(), MethodRule::Check(get()))].into(),
        screens: Vec::new(),
    };
    Policies::compile(&module, policies).context("compiling policies")
}

/// Modules with many policies of their own.
fn others() -> anyhow::Result<Vec<Policies>> {
    let module = |number: usize| {
        let name = format!("other{number}");
        let policy = |author| {
            format!("permit(principal, action, resource) when {{ resource.author == \"{author}\" }};\n")
        };
        let policies: String = (0..POLICIES_ELSEWHERE / OTHERS).map(policy).collect();
        notes(&name, &policies)
    };
    (0..OTHERS).map(module).collect()
}
