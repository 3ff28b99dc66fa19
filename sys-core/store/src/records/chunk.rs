//! Sealing one chunk of large content under its file's own key.

use holdfast_domain::{FileId, UploadId};
use holdfast_keys::{AeadError, FileKey, aead};

/// Where a chunk stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkPosition {
    /// More chunks follow.
    Inner,
    /// The file ends here, so that a truncated file does not open.
    Last,
}

/// What a chunk is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkContext {
    /// The file.
    pub file: FileId,
    /// The upload.
    pub upload: UploadId,
    /// Its place, from 0.
    pub index: u32,
    /// Whether it is the last.
    pub position: ChunkPosition,
}

impl ChunkContext {
    fn aad(&self) -> Vec<u8> {
        let Self { file, upload, index, position } = self;
        let last = match position {
            ChunkPosition::Inner => 0,
            ChunkPosition::Last => 1,
        };
        [b"HFC1".as_slice(), file.as_bytes(), &index.to_be_bytes(), &[last], upload.as_bytes()].concat()
    }
}

/// Seals a chunk.
///
/// # Errors
/// Those of [`aead::seal`].
pub fn seal_chunk(key: &FileKey, context: &ChunkContext, plain: &[u8]) -> Result<Vec<u8>, AeadError> {
    aead::seal(key, &context.aad(), plain)
}

/// Opens a chunk.
///
/// # Errors
/// Those of [`aead::open`].
pub fn open_chunk(key: &FileKey, context: &ChunkContext, sealed: &[u8]) -> Result<Vec<u8>, AeadError> {
    aead::open(key, &context.aad(), sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_in_its_own_place_only() {
        let key = FileKey::from_bytes([1; 32]);
        let context = ChunkContext {
            file: FileId::new([2; 16]),
            upload: UploadId::new([3; 16]),
            index: 4,
            position: ChunkPosition::Inner,
        };
        let sealed = seal_chunk(&key, &context, b"plain").unwrap();
        assert_eq!(open_chunk(&key, &context, &sealed).unwrap(), b"plain");
        for wrong in [
            ChunkContext { file: FileId::new([9; 16]), ..context },
            ChunkContext { upload: UploadId::new([9; 16]), ..context },
            ChunkContext { index: 5, ..context },
            ChunkContext { position: ChunkPosition::Last, ..context },
        ] {
            assert!(open_chunk(&key, &wrong, &sealed).is_err());
        }
    }
}
