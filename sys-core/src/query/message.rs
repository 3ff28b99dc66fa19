//! Protobuf messages as entities: fields are read by the names in their descriptor, so nothing is written twice.

use std::collections::BTreeSet;

use holdfast_domain::{EntitySchema, FieldSchema, FieldType, FieldValue, Fields, ModuleSchema};
use holdfast_proto::declared::{DeclareError, Declared};
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};

use super::NotAnEntity;

/// The option that makes a message an entity.
const ENTITY_OPTION: &str = "holdfast.options.v1.entity";

/// A declared entity together with the message that it is.
#[derive(Debug, Clone)]
pub struct MessageSchema {
    schema: EntitySchema,
    message: MessageDescriptor,
}

/// A declaration that does not fit its message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageSchemaError {
    /// The set says nothing usable.
    #[error("the descriptor set")]
    Set(#[from] DeclareError),
    /// The set is none.
    #[error("the descriptor set")]
    Descriptors(#[from] DescriptorError),
    /// The message is not in the set, or no entity of its module.
    #[error("the set declares no entity {0}")]
    NotDeclared(String),
    /// A key or field that the message has not, or has as something else.
    #[error("{message}.{field} is missing or not a field of the declared type")]
    Field {
        /// The message.
        message: String,
        /// The field.
        field: String,
    },
}

impl MessageSchema {
    /// Finds a message, by its full name, and its declaration in a module's own descriptor set.
    ///
    /// # Errors
    /// See [`MessageSchemaError`].
    pub fn read(set: &[u8], name: &str) -> Result<Self, MessageSchemaError> {
        let not_declared = || MessageSchemaError::NotDeclared(name.to_owned());
        let pool = DescriptorPool::decode(set)?;
        let message = pool.get_message_by_name(name).ok_or_else(not_declared)?;
        let option = pool.get_extension_by_name(ENTITY_OPTION).ok_or_else(not_declared)?;
        let options = message.options();
        let entity = options.get_extension(&option);
        let declared = entity.as_message().and_then(|entity| entity.get_field_by_name("type"));
        let ty = declared
            .as_deref()
            .and_then(Value::as_str)
            .filter(|ty| !ty.is_empty())
            .ok_or_else(not_declared)?;
        let read = Declared::read(&[set])?;
        let mut found = read.modules().iter().filter_map(|module| module.entity(ty));
        match (found.next(), found.next()) {
            (Some(schema), None) => Self::new(schema.clone(), message),
            _ => Err(not_declared()),
        }
    }

    /// All entities of a module, by its own descriptor set.
    ///
    /// # Errors
    /// See [`MessageSchemaError`].
    pub fn entities(set: &[u8], module: &ModuleSchema) -> Result<Vec<Self>, MessageSchemaError> {
        let pool = DescriptorPool::decode(set)?;
        let service = module.methods.keys().next().and_then(|path| path.strip_prefix('/')?.split('/').next());
        let package = service.and_then(|service| service.rsplit_once('.')).map_or("", |(package, _)| package);
        let Some(option) = pool.get_extension_by_name(ENTITY_OPTION) else { return Ok(Vec::new()) };
        let messages = pool.all_messages().filter(|message| message.package_name() == package);
        let entities = messages.filter(|message| message.options().has_extension(&option));
        entities.map(|message| Self::read(set, message.full_name())).collect()
    }

    /// The same for a set that is built into the program.
    ///
    /// # Panics
    /// When the set does not declare the entity: the program was built wrongly, whatever it is asked.
    pub fn embedded(set: &'static [u8], name: &'static str) -> Self {
        #[expect(
            clippy::panic,
            reason = "the set is a constant of the program, so each start panics or none does"
        )]
        Self::read(set, name).unwrap_or_else(|error| panic!("{name}: {}", holdfast_domain::causes(&error)))
    }

    fn new(schema: EntitySchema, message: MessageDescriptor) -> Result<Self, MessageSchemaError> {
        let refused = |field: &str| {
            Err(MessageSchemaError::Field {
                message: message.full_name().to_owned(),
                field: field.to_owned(),
            })
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
        M::decode(bytes).map_err(|error| self.not_an_entity(&error))
    }

    /// The values of the declared fields. A number that no `Long` can hold is left out.
    pub fn fields(&self, message: &impl Message) -> Fields {
        self.stored_fields(&message.encode_to_vec()).unwrap_or_default()
    }

    /// The same of a stored message.
    ///
    /// # Errors
    /// [`NotAnEntity`] for other bytes.
    pub fn stored_fields(&self, bytes: &[u8]) -> Result<Fields, NotAnEntity> {
        let message = self.dynamic(bytes)?;
        let read = |field: &FieldSchema| {
            let value = value(field.ty, &*message.get_field_by_name(&field.name)?)?;
            Some((field.name.clone(), value))
        };
        Ok(self.schema.fields.iter().filter_map(read).collect())
    }

    /// Clears the secret fields.
    pub fn redact<M: Message + Default>(&self, message: &mut M) {
        let Ok(mut dynamic) = self.dynamic(&message.encode_to_vec()) else {
            // Whatever cannot be read by its descriptor is not shown at all.
            *message = M::default();
            return;
        };
        self.clear_secrets(&mut dynamic);
        *message = dynamic.transcode_to().unwrap_or_default();
    }

    /// A stored message without its secret fields.
    ///
    /// # Errors
    /// [`NotAnEntity`] for other bytes.
    pub fn redacted(&self, bytes: &[u8]) -> Result<Vec<u8>, NotAnEntity> {
        let mut message = self.dynamic(bytes)?;
        self.clear_secrets(&mut message);
        Ok(message.encode_to_vec())
    }

    fn clear_secrets(&self, message: &mut DynamicMessage) {
        for field in self.schema.fields.iter().filter(|field| field.secret) {
            message.clear_field_by_name(&field.name);
        }
    }

    fn dynamic(&self, bytes: &[u8]) -> Result<DynamicMessage, NotAnEntity> {
        DynamicMessage::decode(self.message.clone(), bytes).map_err(|error| self.not_an_entity(&error))
    }

    fn not_an_entity(&self, error: &prost::DecodeError) -> NotAnEntity {
        NotAnEntity { entity: self.schema.name.clone(), detail: error.to_string() }
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
