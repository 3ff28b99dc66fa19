//! What a module declares in its `.proto`: entities, their fields, and what each method needs.
//!
//! One form for everybody who reads it: the policy engine, the query layer, the capabilities that clients ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{rule::Rule, screen::ScreenSchema};

/// What kind of value a field holds. Identifiers and other bytes are text in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldType {
    /// Yes or no.
    Bool,
    /// A whole number.
    Long,
    /// Text.
    Text,
    /// A set of texts.
    TextSet,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldValue {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// Text.
    Text(String),
    /// A set of texts.
    TextSet(BTreeSet<String>),
}

impl FieldValue {
    /// Its type.
    pub const fn ty(&self) -> FieldType {
        match self {
            Self::Bool(_) => FieldType::Bool,
            Self::Long(_) => FieldType::Long,
            Self::Text(_) => FieldType::Text,
            Self::TextSet(_) => FieldType::TextSet,
        }
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<&str> for FieldValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// Field values of one row, by field name: all fields that policies know, each of its declared type.
pub type Fields = BTreeMap<String, FieldValue>;

/// One field of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSchema {
    /// Its name in the `.proto`.
    pub name: String,
    /// Its type.
    pub ty: FieldType,
    /// Policies may name it.
    pub policy: bool,
    /// Rows can be listed by it.
    pub indexed: bool,
    /// It is cleared in every answer to a client.
    pub secret: bool,
}

/// One kind of row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitySchema {
    /// Its type in policies: a CamelCase word.
    pub name: String,
    /// Its table, unique in the module: a lower-case word.
    pub table: String,
    /// The fields that name a row, in order.
    pub key: Vec<String>,
    /// All fields that have a [`FieldType`].
    pub fields: Vec<FieldSchema>,
}

impl EntitySchema {
    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&FieldSchema> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields that policies may name.
    pub fn policy_fields(&self) -> impl Iterator<Item = &FieldSchema> {
        self.fields.iter().filter(|field| field.policy)
    }
}

/// A check that policies decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Check {
    /// The action in policies: a lower-case word, unique in the module for one entity.
    pub action: String,
    /// The entity that it is done to.
    pub entity: String,
    /// Why the handler may look beyond the caller's rows, if it may; each use is recorded with it.
    pub unfiltered: Option<String>,
}

/// What a method needs of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodRule {
    /// An identity of one of these kinds.
    Audience(Rule),
    /// A client, and a policy's permission.
    Check(Check),
}

/// A module as its `.proto` declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSchema {
    /// Its name, and the namespace of its policies: a lower-case word.
    pub name: String,
    /// The tablespace of its data, unique in a node for ever.
    pub tablespace: String,
    /// How its rows are to be read; 1 at first. Homes of earlier versions are migrated when they are opened.
    pub version: u32,
    /// Its entities.
    pub entities: Vec<EntitySchema>,
    /// Its methods, by full path (`/package.Service/Method`).
    pub methods: BTreeMap<String, MethodRule>,
    /// Its screens in order; no two of them are at one place.
    pub screens: Vec<ScreenSchema>,
}

impl ModuleSchema {
    /// An entity by name.
    pub fn entity(&self, name: &str) -> Option<&EntitySchema> {
        self.entities.iter().find(|entity| entity.name == name)
    }

    /// Each action with its entity, once.
    pub fn actions(&self) -> BTreeSet<(&str, &str)> {
        self.methods
            .values()
            .filter_map(|rule| match rule {
                MethodRule::Check(check) => Some((check.action.as_str(), check.entity.as_str())),
                MethodRule::Audience(_) => None,
            })
            .collect()
    }
}
