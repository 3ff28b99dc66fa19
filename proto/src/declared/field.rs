//! One field of an entity: its type for policies and tables, and what may be done with it.

use holdfast_domain::{FieldSchema, FieldType};
use prost_reflect::{FieldDescriptor, Kind};

use super::{
    DeclareError,
    options::{self, Options},
};
use crate::options::v1 as pb;

/// Most fields of a key: a record's name has 8 components, and an index's begin with three of its own.
pub const MAX_KEY_FIELDS: usize = 5;

/// The field's schema; `None` when it has no type that policies and tables know, and need not have one.
pub(super) fn read(
    field: &FieldDescriptor,
    in_key: bool,
    options: &Options<'_>,
) -> Result<Option<FieldSchema>, DeclareError> {
    let attr = options.read(options::ATTR, field.full_name(), &field.options())?;
    let pb::Attr { policy, index, secret } = attr.unwrap_or_default();
    let refuse = |role, found| Err(DeclareError::Field { field: field.full_name().to_owned(), role, found });
    let roles =
        [(in_key, "part of a key"), (policy, "named by policies"), (index, "an index"), (secret, "secret")];
    let role = roles.into_iter().find_map(|(is, role)| is.then_some(role));
    let Some(ty) = type_of(field) else {
        return role.map_or(Ok(None), |role| refuse(role, "of no type that tables know"));
    };
    match role {
        Some(role) if in_key && ty == FieldType::TextSet => refuse(role, "a list"),
        // A row would lack it at times, and a policy that reads it could not decide.
        Some(role) if (in_key || policy || index) && field.supports_presence() => refuse(role, "optional"),
        _ => Ok(Some(FieldSchema { name: field.name().to_owned(), ty, policy, indexed: index, secret })),
    }
}

fn type_of(field: &FieldDescriptor) -> Option<FieldType> {
    match (field.kind(), field.is_list()) {
        (Kind::String | Kind::Bytes, true) => Some(FieldType::TextSet),
        (_, true) => None,
        (Kind::Bool, false) => Some(FieldType::Bool),
        (Kind::String | Kind::Bytes, false) => Some(FieldType::Text),
        (
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Enum(_),
            false,
        ) => Some(FieldType::Long),
        (Kind::Double | Kind::Float | Kind::Message(_), false) => None,
    }
}
