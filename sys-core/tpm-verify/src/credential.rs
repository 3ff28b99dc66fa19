//! `TPM2_MakeCredential` in software: a secret that only a TPM holding both this EK and the object of this Name can read.

use zeroize::Zeroizing;

use crate::name::Name;
use crate::parent::{Freshness, ProtectError, Seed, SeedUse};
use crate::public::Public;
use crate::roles::EkPublic;
use crate::wire::{Malformed, Reader, put_sized};

/// Longest `TPM2B_ID_OBJECT` content: SHA-384 integrity and a 48-byte secret with their lengths.
const ID_OBJECT_MAX: usize = 128;
/// Longest encrypted seed: an RSA-2048 block.
const ENC_SECRET_MAX: usize = 256;

/// What `TPM2_ActivateCredential` takes. Contents of the `TPM2B`s, without their length prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    id_object: Vec<u8>,
    enc_secret: Vec<u8>,
}

impl Credential {
    /// Puts received parts together.
    ///
    /// # Errors
    /// A part is longer than any TPM takes, or `id_object` is not an integrity value and a body.
    pub fn from_parts(id_object: Vec<u8>, enc_secret: Vec<u8>) -> Result<Self, Malformed> {
        let mut reader = Reader::bounded(&id_object, ID_OBJECT_MAX, "credential")?;
        reader.sized(ID_OBJECT_MAX, "credential integrity")?;
        Reader::bounded(&enc_secret, ENC_SECRET_MAX, "encrypted seed")?;
        Ok(Self { id_object, enc_secret })
    }

    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<u8>) {
        (self.id_object, self.enc_secret)
    }

    /// Content of the `TPM2B_ID_OBJECT`: `2B(integrity) ‖ ciphertext`.
    #[must_use]
    pub fn id_object(&self) -> &[u8] {
        &self.id_object
    }

    /// Content of the `TPM2B_ENCRYPTED_SECRET`.
    #[must_use]
    pub fn enc_secret(&self) -> &[u8] {
        &self.enc_secret
    }
}

/// Makes a credential for the TPM with `ek` that holds `object` (an AK).
///
/// # Errors
/// No randomness, or a secret longer than the EK's name digest.
pub fn make(ek: &EkPublic, object: &Name, secret: &[u8]) -> Result<Credential, ProtectError> {
    make_for(ek.public(), object, secret, &Freshness::Random)
}

pub(crate) fn make_for(
    parent: &Public,
    object: &Name,
    secret: &[u8],
    fresh: &Freshness<'_>,
) -> Result<Credential, ProtectError> {
    if secret.len() > usize::from(parent.name_alg().len()) {
        return Err(Malformed::TooLong("credential secret").into());
    }
    let seed = Seed::new(parent, SeedUse::Identity, fresh)?;
    let mut payload = Zeroizing::new(Vec::with_capacity(64));
    put_sized(&mut payload, secret, "credential secret")?;
    let id_object = seed.protect(object, &payload)?;
    Ok(Credential { id_object, enc_secret: seed.encrypted })
}
