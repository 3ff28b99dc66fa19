//! One entity: a message whose rows a module keeps.

use std::collections::BTreeSet;

use holdfast_domain::EntitySchema;
use prost_reflect::MessageDescriptor;

use super::{
    DeclareError, field,
    options::{self, Options},
    word,
};
use crate::options::v1 as pb;

/// The entity that a message declares to be; `None` for all other messages.
pub(super) fn read(
    message: &MessageDescriptor,
    options: &Options<'_>,
) -> Result<Option<EntitySchema>, DeclareError> {
    let name = message.full_name();
    let entity = options.read(options::ENTITY, name, &message.options())?;
    let Some(pb::Entity { r#type, table, key }) = entity else {
        return no_attributes(message, options).map(|()| None);
    };
    word::camel(name, "the type", &r#type)?;
    word::lower(name, "the table", &table)?;
    let distinct = key.iter().collect::<BTreeSet<_>>().len();
    if distinct != key.len() || !(1..=field::MAX_KEY_FIELDS).contains(&distinct) {
        return Err(DeclareError::Key { message: name.to_owned(), fields: distinct });
    }
    if let Some(field) = key.iter().find(|field| message.get_field_by_name(field).is_none()) {
        return Err(DeclareError::UnknownKeyField { message: name.to_owned(), field: field.clone() });
    }
    let mut fields = Vec::new();
    for descriptor in message.fields() {
        fields.extend(field::read(&descriptor, key.iter().any(|name| name == descriptor.name()), options)?);
    }
    Ok(Some(EntitySchema { name: r#type, table, key, fields }))
}

/// Attributes elsewhere would protect nothing.
fn no_attributes(message: &MessageDescriptor, options: &Options<'_>) -> Result<(), DeclareError> {
    for field in message.fields() {
        let attr: Option<pb::Attr> = options.read(options::ATTR, field.full_name(), &field.options())?;
        if attr.is_some() {
            return Err(DeclareError::StrayAttr(field.full_name().to_owned()));
        }
    }
    Ok(())
}
