//! Names of rows, and how field values become components of record names.
//!
//! A component begins with a letter for the value's type, so that values of two types never meet and none is empty. Numbers are eight
//! bytes, big-endian with the sign bit turned over: their order is the bytes' order.

use holdfast_domain::{FieldType, FieldValue};

use crate::{limits::MAX_KEY_FIELDS, module::MAX_COMPONENT_BYTES};

/// The values of a row's key fields in their declared order, or the first few of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Vec<FieldValue>);

/// Why values are no key, or a value no component of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// None, or too many of them.
    #[error("a key has 1 to {MAX_KEY_FIELDS} fields, not {0}")]
    Fields(usize),
    /// Another number of values than the entity's key has fields.
    #[error("{given} values for a key of {wanted} fields")]
    Count {
        /// Values given.
        given: usize,
        /// Key fields declared.
        wanted: usize,
    },
    /// A value that is missing, or of another type than declared.
    #[error("the value of {0:?} is missing or not of its type")]
    Type(String),
    /// An empty text.
    #[error("{0:?} is empty")]
    Empty(String),
    /// A text that is too long for a key or an index.
    #[error("{field:?} has {len} bytes, at most {}", MAX_COMPONENT_BYTES - 1)]
    TooLong {
        /// The field.
        field: String,
        /// Its length.
        len: usize,
    },
}

impl RowKey {
    /// A key, or the beginning of one.
    ///
    /// # Errors
    /// [`KeyError::Fields`] for none or too many values.
    pub fn new<V: Into<FieldValue>>(values: impl IntoIterator<Item = V>) -> Result<Self, KeyError> {
        let values: Vec<_> = values.into_iter().take(MAX_KEY_FIELDS + 1).map(Into::into).collect();
        if (1..=MAX_KEY_FIELDS).contains(&values.len()) {
            Ok(Self(values))
        } else {
            Err(KeyError::Fields(values.len()))
        }
    }

    /// The values.
    pub fn values(&self) -> &[FieldValue] {
        &self.0
    }
}

/// A key field's value as a component: an empty text names nothing.
pub(super) fn key_component(
    field: &str,
    ty: FieldType,
    value: Option<&FieldValue>,
) -> Result<Vec<u8>, KeyError> {
    let value = value.filter(|value| value.ty() == ty).ok_or_else(|| KeyError::Type(field.to_owned()))?;
    if *value == FieldValue::Text(String::new()) {
        return Err(KeyError::Empty(field.to_owned()));
    }
    component(field, value)
}

/// A value as a component.
pub(super) fn component(field: &str, value: &FieldValue) -> Result<Vec<u8>, KeyError> {
    let tagged = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
    match value {
        FieldValue::Bool(value) => Ok(tagged(b'b', &[u8::from(*value)])),
        FieldValue::Long(value) => Ok(tagged(b'l', &(value ^ i64::MIN).to_be_bytes())),
        FieldValue::Text(text) if text.len() >= MAX_COMPONENT_BYTES => {
            Err(KeyError::TooLong { field: field.to_owned(), len: text.len() })
        }
        FieldValue::Text(text) => Ok(tagged(b't', text.as_bytes())),
        FieldValue::TextSet(_) => Err(KeyError::Type(field.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = FieldValue> {
        prop_oneof![
            any::<bool>().prop_map(FieldValue::Bool),
            any::<i64>().prop_map(FieldValue::Long),
            "[a-z\0]{0,12}".prop_map(FieldValue::Text),
        ]
    }

    proptest! {
        #[test]
        fn different_values_are_different_components(a in value(), b in value()) {
            prop_assert_eq!(component("f", &a) == component("f", &b), a == b);
        }

        #[test]
        fn numbers_keep_their_order(a in any::<i64>(), b in any::<i64>()) {
            let bytes = |value| component("f", &FieldValue::Long(value)).unwrap();
            prop_assert_eq!(bytes(a).cmp(&bytes(b)), a.cmp(&b));
        }
    }

    #[test]
    fn a_text_fits_up_to_the_longest_component() {
        let text = |len| FieldValue::Text("x".repeat(len));
        assert_eq!(component("f", &text(511)).unwrap().len(), MAX_COMPONENT_BYTES);
        assert_eq!(component("f", &text(512)), Err(KeyError::TooLong { field: "f".to_owned(), len: 512 }));
        assert_eq!(component("f", &text(0)).unwrap(), b"t");
    }

    #[test]
    fn missing_empty_and_mistyped_key_values_are_refused() {
        let of = |value: Option<FieldValue>| key_component("f", FieldType::Text, value.as_ref());
        assert_eq!(of(None), Err(KeyError::Type("f".to_owned())));
        assert_eq!(of(Some(7.into())), Err(KeyError::Type("f".to_owned())));
        assert_eq!(of(Some("".into())), Err(KeyError::Empty("f".to_owned())));
        assert_eq!(RowKey::new(Vec::<FieldValue>::new()), Err(KeyError::Fields(0)));
        assert_eq!(RowKey::new(["a"; 6]), Err(KeyError::Fields(6)));
    }
}
