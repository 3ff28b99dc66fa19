//! The one encoding of signed, replicated and stored values: a format version byte, then postcard.
//!
//! Decoding is strict: the version must be known, every byte consumed and the input no longer than the caller allows.

use serde::{Serialize, de::DeserializeOwned};

/// The only format version so far.
const VERSION: u8 = 1;

/// Why bytes are not the value they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Nothing at all.
    #[error("empty input")]
    Empty,
    /// Written by a version of Holdfast that this one does not know.
    #[error("format version {0} is unknown to this program")]
    Version(u8),
    /// Longer than the caller's limit.
    #[error("{len} bytes exceed the limit of {max}")]
    TooLong {
        /// Length of the input.
        len: usize,
        /// The caller's limit.
        max: usize,
    },
    /// Bytes are left over after the value.
    #[error("{0} bytes left over after the value")]
    Trailing(usize),
    /// Not a valid encoding, or a value that cannot be encoded.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// Room for most values, so that few are moved while they are written.
const TYPICAL_BYTES: usize = 256;

/// Encodes a value.
///
/// # Errors
/// [`CodecError::Malformed`] for values whose serializer refuses.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    bytes.push(VERSION);
    postcard::to_extend(value, bytes).map_err(|error| CodecError::Malformed(error.to_string()))
}

/// Decodes a value of at most `max` bytes.
///
/// # Errors
/// See [`CodecError`]; nothing panics and nothing larger than the input is allocated by length prefixes alone.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CodecError> {
    if bytes.len() > max {
        return Err(CodecError::TooLong { len: bytes.len(), max });
    }
    let (&version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn left_over_bytes_and_unknown_versions_are_refused() {
        let mut bytes = encode(&7u32).unwrap();
        assert_eq!(decode::<u32>(&bytes, 64), Ok(7));
        bytes.push(0);
        assert_eq!(decode::<u32>(&bytes, 64), Err(CodecError::Trailing(1)));
        assert_eq!(decode::<u32>(&[9, 7], 64), Err(CodecError::Version(9)));
        assert_eq!(decode::<u32>(&bytes, 2), Err(CodecError::TooLong { len: 3, max: 2 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<crate::JoinEvidence>(&bytes, 4096);
            let _ = decode::<crate::ShardMap>(&bytes, 4096);
            let _ = decode::<crate::Genesis>(&bytes, 4096);
            let _ = decode::<crate::Admission>(&bytes, 4096);
            let _ = decode::<crate::WrapRow>(&bytes, 4096);
        }
    }
}
