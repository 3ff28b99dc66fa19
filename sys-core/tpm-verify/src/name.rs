//! Names and qualified names: what a TPM binds attestations, credentials and imports to.

use crate::alg::{HashAlg, sha256};
use crate::wire::{Malformed, Reader};

/// `TPM_RH_OWNER`.
const OWNER: u32 = 0x4000_0001;
/// `TPM_RH_ENDORSEMENT`.
const ENDORSEMENT: u32 = 0x4000_000b;

/// A Name or qualified name: a hash identifier and a digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// Parses `nameAlg ‖ digest`.
    ///
    /// # Errors
    /// Another hash, or a digest of another length.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::bounded(bytes, crate::limits::DIGEST_MAX.saturating_add(2), "name")?;
        let alg = HashAlg::from_id(reader.u16("name")?, "name")?;
        reader.take(usize::from(alg.len()), "name")?;
        reader.finish("name")?;
        Ok(Self(bytes.to_vec()))
    }

    pub(crate) fn of_bytes(alg: HashAlg, public: &[u8]) -> Self {
        Self::from_digest(alg, &[public])
    }

    fn from_digest(alg: HashAlg, parts: &[&[u8]]) -> Self {
        let mut bytes = alg.id().to_be_bytes().to_vec();
        bytes.extend_from_slice(&alg.digest(parts));
        Self(bytes)
    }

    /// The bytes a TPM uses.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the Name: a fixed-size handle for logs and rows.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&[&self.0])
    }

    /// The qualified name of a primary key of the owner hierarchy.
    pub(crate) fn qualified_in_owner(&self) -> Self {
        self.qualified_under(&OWNER.to_be_bytes())
    }

    /// The qualified name of a primary key of the endorsement hierarchy.
    pub(crate) fn qualified_in_endorsement(&self) -> Self {
        self.qualified_under(&ENDORSEMENT.to_be_bytes())
    }

    /// The qualified name of this key as a child of `parent`, a qualified name.
    pub(crate) fn qualified_under_key(&self, parent: &Self) -> Self {
        self.qualified_under(&parent.0)
    }

    fn qualified_under(&self, parent: &[u8]) -> Self {
        // Own name algorithm: a Name parsed or made here always starts with a known one.
        let alg = if self.0.starts_with(&HashAlg::Sha384.id().to_be_bytes()) {
            HashAlg::Sha384
        } else {
            HashAlg::Sha256
        };
        Self::from_digest(alg, &[parent, &self.0])
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({})", hex::encode(&self.0))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}
