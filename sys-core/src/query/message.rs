//! Protobuf messages as entities: fields are read by the names in their descriptor, so nothing is written twice.

use std::collections::BTreeSet;

use holdfast_domain::{EntitySchema, FieldSchema, FieldType, FieldValue, Fields};
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use super::NotAnEntity;

/// A declared entity together with the message that it is.
#[derive(Debug, Clone)]
pub struct MessageSchema {
    schema: EntitySchema,
    message: MessageDescriptor,
}

/// A declaration that does not fit its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field} is missing or not a field of the declared type")]
pub struct MessageSchemaError {
    /// The message.
    pub message: String,
    /// The field.
    pub field: String,
}

/// Makes a message an [`Entity`](crate::query::Entity): `entity!(pb::Note, &*NOTE)` with `NOTE` a
/// [`MessageSchema`](crate::query::MessageSchema).
#[macro_export]
macro_rules! entity {
    ($message:ty, $schema:expr) => {
        impl $crate::query::Entity for $message {
            fn schema() -> &'static $crate::query::EntitySchema {
                let schema: &'static $crate::query::MessageSchema = $schema;
                schema.entity()
            }

            fn encode(&self) -> ::std::vec::Vec<u8> {
                $crate::query::MessageSchema::encode(self)
            }

            fn decode(bytes: &[u8]) -> ::std::result::Result<Self, $crate::query::NotAnEntity> {
                let schema: &'static $crate::query::MessageSchema = $schema;
                schema.decode(bytes)
            }

            fn fields(&self) -> $crate::query::Fields {
                let schema: &'static $crate::query::MessageSchema = $schema;
                schema.fields(self)
            }

            fn redact(&mut self) {
                let schema: &'static $crate::query::MessageSchema = $schema;
                schema.redact(self);
            }
        }
    };
}

impl MessageSchema {
    /// Puts a declaration and its message together.
    ///
    /// # Errors
    /// [`MessageSchemaError`] for a key or field that the message has not, or has as something else.
    pub fn new(schema: EntitySchema, message: MessageDescriptor) -> Result<Self, MessageSchemaError> {
        let refused = |field: &str| {
            Err(MessageSchemaError { message: message.full_name().to_owned(), field: field.to_owned() })
        };
        for FieldSchema { name, ty, .. } in &schema.fields {
            let found = message.get_field_by_name(name);
            let fits =
                found.is_some_and(|field| fits(*ty, &field.kind(), field.is_list()) && !field.is_map());
            if !fits {
                return refused(name);
            }
        }
        match schema.key.iter().find(|name| schema.field(name).is_none()) {
            Some(name) => refused(name),
            None => Ok(Self { schema, message }),
        }
    }

    /// The declaration.
    pub const fn entity(&self) -> &EntitySchema {
        &self.schema
    }

    /// A message as stored.
    pub fn encode(message: &impl Message) -> Vec<u8> {
        message.encode_to_vec()
    }

    /// A message that was stored.
    ///
    /// # Errors
    /// [`NotAnEntity`] for other bytes.
    pub fn decode<M: Message + Default>(&self, bytes: &[u8]) -> Result<M, NotAnEntity> {
        M::decode(bytes)
            .map_err(|error| NotAnEntity { entity: self.schema.name.clone(), detail: error.to_string() })
    }

    /// The values of the declared fields. A number that no `Long` can hold is left out.
    pub fn fields(&self, message: &impl Message) -> Fields {
        let Some(message) = self.dynamic(message) else { return Fields::new() };
        let read = |field: &FieldSchema| {
            let value = value(field.ty, &*message.get_field_by_name(&field.name)?)?;
            Some((field.name.clone(), value))
        };
        self.schema.fields.iter().filter_map(read).collect()
    }

    /// Clears the secret fields.
    pub fn redact<M: Message + Default>(&self, message: &mut M) {
        let Some(mut dynamic) = self.dynamic(message) else {
            // Whatever cannot be read by its descriptor is not shown at all.
            *message = M::default();
            return;
        };
        for field in self.schema.fields.iter().filter(|field| field.secret) {
            dynamic.clear_field_by_name(&field.name);
        }
        *message = dynamic.transcode_to().unwrap_or_default();
    }

    fn dynamic(&self, message: &impl Message) -> Option<DynamicMessage> {
        DynamicMessage::decode(self.message.clone(), message.encode_to_vec().as_slice()).ok()
    }
}

fn fits(ty: FieldType, kind: &Kind, list: bool) -> bool {
    match ty {
        FieldType::Bool => !list && matches!(kind, Kind::Bool),
        FieldType::Text => !list && matches!(kind, Kind::String | Kind::Bytes),
        FieldType::TextSet => list && matches!(kind, Kind::String | Kind::Bytes),
        FieldType::Long => {
            !list
                && !matches!(
                    kind,
                    Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Float | Kind::Double
                )
        }
    }
}

fn value(ty: FieldType, value: &Value) -> Option<FieldValue> {
    match (ty, value) {
        (FieldType::Bool, Value::Bool(value)) => Some(FieldValue::Bool(*value)),
        (FieldType::Long, Value::I32(value) | Value::EnumNumber(value)) => Some(i64::from(*value).into()),
        (FieldType::Long, Value::U32(value)) => Some(i64::from(*value).into()),
        (FieldType::Long, Value::I64(value)) => Some((*value).into()),
        (FieldType::Long, Value::U64(value)) => Some(i64::try_from(*value).ok()?.into()),
        (FieldType::Text, value) => text(value).map(FieldValue::Text),
        (FieldType::TextSet, Value::List(values)) => {
            values.iter().map(text).collect::<Option<BTreeSet<_>>>().map(FieldValue::TextSet)
        }
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bytes(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}
