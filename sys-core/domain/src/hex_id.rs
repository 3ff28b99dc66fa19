//! One macro for identifiers that are fixed bytes, written as lower-case hex.

/// Defines a fixed-size identifier with hex `Display`, `Debug` and `FromStr`.
macro_rules! hex_id {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // Printed for every audit event: at once, not digit by digit.
                let mut text = [0; $len * 2];
                hex::encode_to_slice(self.0, &mut text).map_err(|_| std::fmt::Error)?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| std::fmt::Error)?)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::ids::IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| crate::ids::IdError::new(stringify!($name), $len))?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = crate::ids::IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| crate::ids::IdError::new(stringify!($name), $len))
            }
        }
    };
}

pub(crate) use hex_id;
