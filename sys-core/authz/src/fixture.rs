//! A module to try policies on.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{
    AccountId, Check, EntitySchema, FieldSchema, FieldType, FieldValue, Fields, MethodRule, ModuleSchema,
    ProjectId, Role, Standing,
};

use crate::subject::Subject;

/// Notes, in folders, of projects.
pub(crate) fn notes() -> ModuleSchema {
    let field = |name: &str, ty, policy| FieldSchema {
        name: name.to_owned(),
        ty,
        policy,
        indexed: policy,
        secret: !policy,
    };
    let note = EntitySchema {
        name: "Note".to_owned(),
        table: "note".to_owned(),
        key: vec!["id".to_owned()],
        fields: vec![
            field("id", FieldType::Text, false),
            field("owner", FieldType::Text, true),
            field("project", FieldType::Text, true),
            field("tags", FieldType::TextSet, true),
            field("size", FieldType::Long, true),
            field("public", FieldType::Bool, true),
        ],
    };
    let folder = EntitySchema {
        name: "Folder".to_owned(),
        table: "folder".to_owned(),
        key: vec!["name".to_owned()],
        fields: vec![field("name", FieldType::Text, true)],
    };
    let methods = [("get", "Note"), ("delete", "Note"), ("get", "Folder")];
    ModuleSchema {
        name: "notes".to_owned(),
        tablespace: "notes".to_owned(),
        version: 1,
        entities: vec![note, folder],
        methods: methods
            .map(|(action, entity)| {
                (format!("/notes.Notes/{action}{entity}"), MethodRule::Check(check(entity, action)))
            })
            .into(),
        screens: Vec::new(),
    }
}

pub(crate) fn check(entity: &str, action: &str) -> Check {
    Check { action: action.to_owned(), entity: entity.to_owned(), unfiltered: None }
}

pub(crate) const ME: AccountId = AccountId::new([0xee; 16]);

pub(crate) const fn project(number: u8) -> ProjectId {
    ProjectId::new([number; 16])
}

/// The caller, with no module server between.
pub(crate) const fn me(standing: &Standing) -> Subject<'_> {
    Subject { account: Some(ME), standing, via: None }
}

pub(crate) fn standing(role: Option<Role>, projects: &[(u8, Role)]) -> Standing {
    let projects: BTreeMap<_, _> = projects.iter().map(|(number, role)| (project(*number), *role)).collect();
    Standing { owner: false, role, projects }
}

pub(crate) fn text(text: impl ToString) -> FieldValue {
    FieldValue::Text(text.to_string())
}

pub(crate) fn texts(texts: &[&str]) -> FieldValue {
    FieldValue::TextSet(texts.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
}

/// A note of this owner in this project, with all fields.
pub(crate) fn note(owner: AccountId, project: ProjectId) -> Fields {
    Fields::from([
        ("owner".to_owned(), text(owner)),
        ("project".to_owned(), text(project)),
        ("tags".to_owned(), texts(&["red"])),
        ("size".to_owned(), FieldValue::Long(3)),
        ("public".to_owned(), FieldValue::Bool(false)),
    ])
}
