//! Serde for public values of a fixed length: hex text for people, raw bytes otherwise; always through the checking constructor.

use serde::{Deserializer, Serializer, de};

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex::encode(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

/// Reads at most the bytes of the input itself, then lets `parse` judge them.
pub(crate) fn deserialize<'de, D, T, E>(
    deserializer: D,
    parse: fn(&[u8]) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: std::fmt::Display,
{
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Parser(parse))
    } else {
        deserializer.deserialize_bytes(Parser(parse))
    }
}

struct Parser<T, E>(fn(&[u8]) -> Result<T, E>);

impl<T, E: std::fmt::Display> de::Visitor<'_> for Parser<T, E> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fixed-length bytes")
    }

    fn visit_bytes<F: de::Error>(self, bytes: &[u8]) -> Result<T, F> {
        (self.0)(bytes).map_err(F::custom)
    }

    fn visit_str<F: de::Error>(self, text: &str) -> Result<T, F> {
        let bytes = hex::decode(text).map_err(F::custom)?;
        self.visit_bytes(&bytes)
    }
}

/// Serde for a type with `as_bytes` and a checking `from_bytes(&[u8])`.
macro_rules! fixed_bytes_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::fixed_bytes::serialize(self.as_bytes(), serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::fixed_bytes::deserialize(deserializer, Self::from_bytes)
            }
        }
    };
}

pub(crate) use fixed_bytes_serde;
