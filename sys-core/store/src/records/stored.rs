//! A record's value as it is stored, proposed and moved: readable parts in clear, head and body sealed.

use bytes::Bytes;
use holdfast_domain::KeyGeneration;
use holdfast_keys::aead;

use crate::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES};

/// The only layout so far.
const FORMAT: u8 = 1;

/// The only cipher suite so far: XAES-256-GCM.
pub(super) const SUITE: u8 = 1;

/// `format ‖ suite ‖ version ‖ generation ‖ len`
const FIXED_LEN: usize = 1 + 1 + 8 + 4 + 4;

/// Version of a record: assigned by the leader, above the high-water mark of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordVersion(pub u64);

/// Names one very sealing of a record: the first 8 bytes of the body's tag, which covers the head's as well.
///
/// A version number alone does not: a leader that evaluates too early may give one out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Etag(pub [u8; 8]);

/// Bytes that are not a stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Ends before its parts do.
    #[error("a stored record of {0} bytes is too short")]
    Truncated(usize),
    /// Written by a version of Holdfast that this one does not know.
    #[error("record format {format} with suite {suite} is unknown to this program")]
    Unknown {
        /// Layout.
        format: u8,
        /// Cipher suite.
        suite: u8,
    },
    /// A part above its limit.
    #[error("a {part} of {len} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Head or body.
        part: &'static str,
        /// Its length.
        len: usize,
        /// Its limit.
        max: usize,
    },
}

/// A stored record; nothing of it is opened or authenticated yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    bytes: Bytes,
    version: RecordVersion,
    generation: KeyGeneration,
    head: Bytes,
    body: Bytes,
    etag: Etag,
}

impl StoredRecord {
    /// Reads a value.
    ///
    /// # Errors
    /// See [`StoredError`].
    pub fn parse(bytes: Bytes) -> Result<Self, StoredError> {
        let truncated = StoredError::Truncated(bytes.len());
        let (&[format, suite], rest) = bytes.split_first_chunk().ok_or(truncated)?;
        if (format, suite) != (FORMAT, SUITE) {
            return Err(StoredError::Unknown { format, suite });
        }
        let (version, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (generation, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (head_len, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let head_len = usize::try_from(u32::from_be_bytes(*head_len)).map_err(|_| truncated)?;
        let (head, body) = rest.split_at_checked(head_len).ok_or(truncated)?;
        check_len("head", head, MAX_HEAD_BYTES)?;
        check_len("body", body, MAX_BODY_BYTES)?;
        aead::tag(head).map_err(|_| truncated)?;
        let etag = Etag(aead::etag(body).map_err(|_| truncated)?);
        let (head, body) = (bytes.slice_ref(head), bytes.slice_ref(body));
        let version = RecordVersion(u64::from_be_bytes(*version));
        let generation = KeyGeneration(u32::from_be_bytes(*generation));
        Ok(Self { bytes, version, generation, head, body, etag })
    }

    /// Puts sealed parts together.
    pub(super) fn assemble(
        version: RecordVersion,
        generation: KeyGeneration,
        head: &[u8],
        body: &[u8],
    ) -> Result<Self, StoredError> {
        check_len("head", head, MAX_HEAD_BYTES)?;
        check_len("body", body, MAX_BODY_BYTES)?;
        let head_len = u32::try_from(head.len()).map_err(|_| StoredError::Truncated(head.len()))?;
        let mut bytes = Vec::with_capacity(FIXED_LEN + head.len() + body.len());
        bytes.extend_from_slice(&[FORMAT, SUITE]);
        bytes.extend_from_slice(&version.0.to_be_bytes());
        bytes.extend_from_slice(&generation.0.to_be_bytes());
        bytes.extend_from_slice(&head_len.to_be_bytes());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(body);
        Self::parse(bytes.into())
    }

    /// The whole value.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The record's version.
    pub fn version(&self) -> RecordVersion {
        self.version
    }

    /// Generation of the data key that sealed it.
    pub fn generation(&self) -> KeyGeneration {
        self.generation
    }

    /// Names this very sealing.
    pub fn etag(&self) -> Etag {
        self.etag
    }

    /// The sealed head.
    pub fn sealed_head(&self) -> &Bytes {
        &self.head
    }

    /// The sealed body.
    pub fn sealed_body(&self) -> &Bytes {
        &self.body
    }
}

fn check_len(part: &'static str, bytes: &[u8], max: usize) -> Result<(), StoredError> {
    if bytes.len() > max { Err(StoredError::TooLarge { part, len: bytes.len(), max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = StoredRecord::parse(bytes.into());
        }

        #[test]
        fn a_record_reads_back(version: u64, generation: u32, head in prop::collection::vec(any::<u8>(), 40..100), body in prop::collection::vec(any::<u8>(), 40..100)) {
            let stored = StoredRecord::assemble(RecordVersion(version), KeyGeneration(generation), &head, &body).unwrap();
            let read = StoredRecord::parse(stored.as_bytes().clone()).unwrap();
            prop_assert_eq!(&read, &stored);
            prop_assert_eq!(read.sealed_head(), &head);
            prop_assert_eq!(read.sealed_body(), &body);
            prop_assert_eq!(read.version(), RecordVersion(version));
            prop_assert_eq!(read.generation(), KeyGeneration(generation));
        }

        #[test]
        fn every_truncation_is_refused(cut in 0usize..98) {
            let stored = StoredRecord::assemble(RecordVersion(1), KeyGeneration(1), &[1; 40], &[2; 40]).unwrap();
            prop_assert!(StoredRecord::parse(stored.as_bytes().slice(..cut)).is_err());
        }
    }
}
