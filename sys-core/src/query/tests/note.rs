//! A row to test with.

use std::{collections::BTreeSet, sync::LazyLock};

use holdfast_domain::{EntitySchema, FieldSchema, FieldType, FieldValue, Fields};

use crate::query::{Entity, NotAnEntity};

/// A note of an owner, in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) folder: String,
    pub(super) number: i64,
    pub(super) owner: String,
    pub(super) open: bool,
    pub(super) tags: BTreeSet<String>,
    pub(super) password: String,
}

static NOTE: LazyLock<EntitySchema> = LazyLock::new(|| {
    let field = |name: &str, ty, indexed, secret| FieldSchema {
        name: name.to_owned(),
        ty,
        policy: true,
        indexed,
        secret,
    };
    EntitySchema {
        name: "Note".to_owned(),
        table: "notes".to_owned(),
        key: vec!["folder".to_owned(), "number".to_owned()],
        fields: vec![
            field("folder", FieldType::Text, false, false),
            field("number", FieldType::Long, false, false),
            field("owner", FieldType::Text, true, false),
            field("open", FieldType::Bool, true, false),
            field("tags", FieldType::TextSet, true, false),
            field("password", FieldType::Text, false, true),
        ],
    }
});

impl Note {
    pub(super) fn new(folder: &str, number: i64, owner: &str) -> Self {
        let (tags, password) = (BTreeSet::new(), "secret".to_owned());
        Self { folder: folder.to_owned(), number, owner: owner.to_owned(), open: false, tags, password }
    }

    pub(super) fn tagged<const N: usize>(mut self, tags: [&str; N]) -> Self {
        self.tags = tags.into_iter().map(str::to_owned).collect();
        self
    }
}

impl Entity for Note {
    fn schema() -> &'static EntitySchema {
        &NOTE
    }

    fn encode(&self) -> Vec<u8> {
        let Self { folder, number, owner, open, tags, password } = self;
        holdfast_domain::codec::encode(&(folder, number, owner, open, tags, password)).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Self, NotAnEntity> {
        let (folder, number, owner, open, tags, password) = holdfast_domain::codec::decode(bytes, 1 << 20)
            .map_err(|error| NotAnEntity { entity: "Note".to_owned(), detail: error.to_string() })?;
        Ok(Self { folder, number, owner, open, tags, password })
    }

    fn fields(&self) -> Fields {
        let Self { folder, number, owner, open, tags, password } = self.clone();
        let fields: [(&str, FieldValue); 6] = [
            ("folder", folder.into()),
            ("number", number.into()),
            ("owner", owner.into()),
            ("open", open.into()),
            ("tags", FieldValue::TextSet(tags)),
            ("password", password.into()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn redact(&mut self) {
        self.password.clear();
    }
}
