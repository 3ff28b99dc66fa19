//! Record names of a table's rows and of the index rows that lead to them.
//!
//! ```text
//! row    table                ‖ key…            → the row
//! index  table ‖ 0 ‖ field    ‖ value ‖ key…    → nothing
//! ```
//! Tables and fields are words, so the two kinds never meet. A set has one index row for each element.

use std::collections::BTreeSet;

use holdfast_domain::{EntitySchema, FieldSchema, FieldType, FieldValue, Fields};

use super::{
    KeyError, QueryError, RowKey,
    key::{component, key_component},
};
use crate::{limits::MAX_INDEXED_ELEMENTS, module::RecordKey};

/// A table's names.
#[derive(Clone, Copy)]
pub(super) struct Names(pub(super) &'static EntitySchema);

impl Names {
    pub(super) fn table(self) -> &'static str {
        &self.0.table
    }

    /// What is above all rows of the table.
    pub(super) fn all(self) -> Result<RecordKey, QueryError> {
        record(vec![self.head()])
    }

    /// The record of the row with these field values.
    pub(super) fn of_row(self, fields: &Fields) -> Result<RecordKey, QueryError> {
        let mut components = vec![self.head()];
        for name in &self.0.key {
            components.push(self.key_component(name, fields.get(name))?);
        }
        record(components)
    }

    /// The record of the row with this key.
    pub(super) fn of_key(self, key: &RowKey) -> Result<RecordKey, QueryError> {
        let (given, wanted) = (key.values().len(), self.0.key.len());
        if given == wanted { self.above(key) } else { Err(self.refused(KeyError::Count { given, wanted })) }
    }

    /// What is above all rows whose keys begin like this.
    pub(super) fn above(self, key: &RowKey) -> Result<RecordKey, QueryError> {
        let (given, wanted) = (key.values().len(), self.0.key.len());
        if given > wanted {
            return Err(self.refused(KeyError::Count { given, wanted }));
        }
        let mut components = vec![self.head()];
        for (name, value) in self.0.key.iter().zip(key.values()) {
            components.push(self.key_component(name, Some(value))?);
        }
        record(components)
    }

    /// What is above all index rows of a value, or of an element of a set.
    pub(super) fn above_indexed(self, field: &str, value: &FieldValue) -> Result<RecordKey, QueryError> {
        let found = self.0.field(field).filter(|field| field.indexed && element(field.ty) == value.ty());
        let not = || QueryError::NotIndexed { table: self.table(), field: field.to_owned() };
        let FieldSchema { name, .. } = found.ok_or_else(not)?;
        let value = component(name, value).map_err(|source| self.refused(source))?;
        record(vec![self.index_head(name), value])
    }

    /// The index rows of a row that is to be stored.
    pub(super) fn index_rows(self, fields: &Fields) -> Result<BTreeSet<RecordKey>, QueryError> {
        self.index_of(fields, |field| self.indexed(field, fields))
    }

    /// The index rows that a stored row can have. One that was stored before its field was indexed may hold what no index takes: it
    /// has no such rows, and must be possible to replace and delete.
    pub(super) fn stored_index_rows(self, fields: &Fields) -> Result<BTreeSet<RecordKey>, QueryError> {
        self.index_of(fields, |field| Ok(self.indexed(field, fields).unwrap_or_default()))
    }

    fn index_of(
        self,
        fields: &Fields,
        values: impl Fn(&FieldSchema) -> Result<Vec<Vec<u8>>, QueryError>,
    ) -> Result<BTreeSet<RecordKey>, QueryError> {
        let row = self.of_row(fields)?;
        let key = row.components().get(1..).unwrap_or_default();
        let mut rows = BTreeSet::new();
        for field in self.0.fields.iter().filter(|field| field.indexed) {
            for value in values(field)? {
                let above = [self.index_head(&field.name), value];
                rows.insert(record(above.iter().chain(key).cloned().collect())?);
            }
        }
        Ok(rows)
    }

    /// The row that an index row leads to.
    pub(super) fn led_to(self, index: &RecordKey) -> Result<RecordKey, QueryError> {
        let key = index.components().get(2..).unwrap_or_default();
        record([&self.head()].into_iter().chain(key).cloned().collect())
    }

    /// A field's values as components.
    fn indexed(self, field: &FieldSchema, fields: &Fields) -> Result<Vec<Vec<u8>>, QueryError> {
        let value = fields.get(&field.name).filter(|value| value.ty() == field.ty);
        let value = value.ok_or_else(|| self.refused(KeyError::Type(field.name.clone())))?;
        let of = |value: &FieldValue| component(&field.name, value).map_err(|source| self.refused(source));
        let FieldValue::TextSet(set) = value else { return Ok(vec![of(value)?]) };
        if set.len() > MAX_INDEXED_ELEMENTS {
            let (field, len) = (field.name.clone(), set.len());
            return Err(QueryError::SetTooLarge { table: self.table(), field, len });
        }
        set.iter().map(|text| of(&FieldValue::Text(text.clone()))).collect()
    }

    fn key_component(self, name: &str, value: Option<&FieldValue>) -> Result<Vec<u8>, QueryError> {
        let declared = self.0.field(name).ok_or_else(|| self.refused(KeyError::Type(name.to_owned())))?;
        key_component(name, declared.ty, value).map_err(|source| self.refused(source))
    }

    fn head(self) -> Vec<u8> {
        self.0.table.clone().into_bytes()
    }

    fn index_head(self, field: &str) -> Vec<u8> {
        [self.0.table.as_bytes(), field.as_bytes()].join(&0)
    }

    fn refused(self, source: KeyError) -> QueryError {
        QueryError::Key { table: self.table(), source }
    }
}

/// What an index of a field is by.
const fn element(ty: FieldType) -> FieldType {
    match ty {
        FieldType::TextSet => FieldType::Text,
        other => other,
    }
}

fn record(components: Vec<Vec<u8>>) -> Result<RecordKey, QueryError> {
    RecordKey::new(components)
        .map_err(|_| QueryError::Misuse("the entity's declaration makes no record names"))
}
