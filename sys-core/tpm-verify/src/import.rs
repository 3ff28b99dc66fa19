//! Import blobs: a sealed object made outside, which only one TPM's SRK can import and only its policy unseal.

use zeroize::Zeroizing;

use crate::alg::{ALG_KEYEDHASH, ALG_NULL, ALG_SHA256, sha256};
use crate::limits::{PUBLIC_MAX, SEALED_DATA_MAX};
use crate::parent::{Freshness, ProtectError, Seed, SeedUse};
use crate::policy::PolicyDigest;
use crate::public::{Key, Public};
use crate::roles::SrkPublic;
use crate::wire::{Malformed, Reader, put_sized};

/// adminWithPolicy, noDA: readable through the policy alone, there is no password.
const SEALED_WITH_POLICY: u32 = 0x0000_0480;
/// userWithAuth, noDA: readable by whoever holds the TPM. Tests only.
#[cfg(test)]
const SEALED_WITHOUT_POLICY: u32 = 0x0000_0440;

/// A whole import blob takes about 370 bytes.
const IMPORT_MAX: usize = 1024;

/// What `TPM2_Import` takes. Contents of the `TPM2B`s, without their length prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportBlob {
    /// The object's public area (`TPMT_PUBLIC`).
    pub obj_public: Vec<u8>,
    /// Content of the `TPM2B_PRIVATE` named `duplicate`; there is no inner wrapper.
    pub duplicate: Vec<u8>,
    /// Content of the `TPM2B_ENCRYPTED_SECRET` named `inSymSeed`.
    pub in_sym_seed: Vec<u8>,
}

impl ImportBlob {
    /// `2B(obj_public) ‖ 2B(duplicate) ‖ 2B(in_sym_seed)`.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        let Self { obj_public, duplicate, in_sym_seed } = self;
        let mut out = Vec::with_capacity(512);
        put_sized(&mut out, obj_public, "import public")?;
        put_sized(&mut out, duplicate, "import duplicate")?;
        put_sized(&mut out, in_sym_seed, "import seed")?;
        Ok(out)
    }

    /// Parses what [`Self::to_bytes`] wrote, and checks that the object is a sealed one that only its policy opens.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::bounded(bytes, IMPORT_MAX, "import blob")?;
        let obj_public = reader.sized(PUBLIC_MAX, "import public")?.to_vec();
        let duplicate = reader.sized(IMPORT_MAX, "import duplicate")?.to_vec();
        let in_sym_seed = reader.sized(IMPORT_MAX, "import seed")?.to_vec();
        reader.finish("import blob")?;
        let public = Public::parse(&obj_public)?;
        let sealed = matches!(public.key(), Key::Sealed { .. });
        if !sealed || public.attributes() != SEALED_WITH_POLICY || public.auth_policy().is_empty() {
            return Err(Malformed::Invalid("sealed object"));
        }
        Ok(Self { obj_public, duplicate, in_sym_seed })
    }
}

/// Seals `key` under `policy` for the TPM with `srk`.
///
/// # Errors
/// No randomness.
pub fn seal(srk: &SrkPublic, policy: &PolicyDigest, key: &[u8; 32]) -> Result<ImportBlob, ProtectError> {
    let mut obfuscation = Zeroizing::new([0u8; 32]);
    getrandom::fill(obfuscation.as_mut_slice()).map_err(ProtectError::Entropy)?;
    let policy = SealPolicy::Policy(policy);
    seal_for(srk.public(), &policy, key, &obfuscation, &Freshness::Random)
}

/// What guards the sealed data.
pub(crate) enum SealPolicy<'a> {
    Policy(&'a PolicyDigest),
    #[cfg(test)]
    None,
}

pub(crate) fn seal_for(
    parent: &Public,
    policy: &SealPolicy<'_>,
    data: &[u8],
    obfuscation: &[u8; 32],
    fresh: &Freshness<'_>,
) -> Result<ImportBlob, ProtectError> {
    if data.len() > SEALED_DATA_MAX {
        return Err(Malformed::TooLong("sealed data").into());
    }
    let obj_public = sealed_public(policy, obfuscation, data)?;
    let name = Public::parse(&obj_public)?.name();
    let sensitive = sensitive_area(obfuscation, data)?;
    let seed = Seed::new(parent, SeedUse::Duplicate, fresh)?;
    let duplicate = seed.protect(&name, &sensitive)?;
    Ok(ImportBlob { obj_public, duplicate, in_sym_seed: seed.encrypted })
}

/// The `TPMT_PUBLIC` of a sealed object.
fn sealed_public(policy: &SealPolicy<'_>, obfuscation: &[u8; 32], data: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (attributes, digest): (u32, &[u8]) = match policy {
        SealPolicy::Policy(policy) => (SEALED_WITH_POLICY, policy.as_bytes()),
        #[cfg(test)]
        SealPolicy::None => (SEALED_WITHOUT_POLICY, &[]),
    };
    let mut out = Vec::with_capacity(80);
    out.extend_from_slice(&ALG_KEYEDHASH.to_be_bytes());
    out.extend_from_slice(&ALG_SHA256.to_be_bytes());
    out.extend_from_slice(&attributes.to_be_bytes());
    put_sized(&mut out, digest, "authPolicy")?;
    out.extend_from_slice(&ALG_NULL.to_be_bytes());
    put_sized(&mut out, &sha256(&[obfuscation, data]), "unique")?;
    Ok(out)
}

/// `2B(TPMT_SENSITIVE)`: type, empty authValue, obfuscation, data.
fn sensitive_area(obfuscation: &[u8; 32], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut body = Zeroizing::new(Vec::with_capacity(256));
    body.extend_from_slice(&ALG_KEYEDHASH.to_be_bytes());
    put_sized(&mut body, &[], "authValue")?;
    put_sized(&mut body, obfuscation, "seedValue")?;
    put_sized(&mut body, data, "sealed data")?;
    let mut out = Zeroizing::new(Vec::with_capacity(256));
    put_sized(&mut out, &body, "sensitive area")?;
    Ok(out)
}
