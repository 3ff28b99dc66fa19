//! SHA-256 over length-prefixed fields, so that no two lists of fields have the same bytes.

use sha2::{Digest, Sha256};

/// Hashes `len(BE32) ‖ field` for each field. Fields are bounded far below 4 GiB by their own types.
pub(crate) fn sha256_prefixed(fields: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in fields {
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        hash.update(len.to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}
