//! Protecting something for a storage parent of another TPM (TPM 2.0 part 1, annexes B and C): a seed that only the parent can
//! recover, and under it an encrypted and authenticated payload bound to one object's Name.

use aes::cipher::{KeyInit, KeyIvInit};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPublicEncryptingKey, PublicEncryptingKey,
};
use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::kdf::{kdf_a, kdf_e};
use crate::name::Name;
use crate::public::{EccPoint, Key, Public, Symmetric};
use crate::wire::{Malformed, put_sized};

/// Why nothing could be protected for a parent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// The key is no storage parent: no cipher, or a sealed object.
    #[error("the key is not a storage parent")]
    NotAParent,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Entropy(#[source] getrandom::Error),
    /// RSA-OAEP refused the key.
    #[error("RSA-OAEP failed")]
    Rsa,
    /// The payload is too long for the structure.
    #[error("the payload does not fit")]
    Payload(#[from] Malformed),
}

/// What the seed is for; the label keeps one use from standing in for another.
#[derive(Clone, Copy)]
pub(crate) enum SeedUse {
    /// `TPM2_ActivateCredential`.
    Identity,
    /// `TPM2_Import`.
    Duplicate,
}

impl SeedUse {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Identity => "IDENTITY",
            Self::Duplicate => "DUPLICATE",
        }
    }
}

/// Where the fresh secret comes from: the operating system, except in known-answer tests.
pub(crate) enum Freshness<'a> {
    /// The operating system.
    Random,
    /// The ephemeral private scalar, or the seed itself for an RSA parent.
    #[cfg_attr(not(test), expect(dead_code, reason = "known-answer tests only"))]
    Fixed(&'a [u8]),
}

/// A seed, and the form in which only the parent recovers it.
pub(crate) struct Seed {
    pub(crate) hash: HashAlg,
    pub(crate) symmetric: Symmetric,
    pub(crate) secret: Zeroizing<Vec<u8>>,
    /// The content of a `TPM2B_ENCRYPTED_SECRET`.
    pub(crate) encrypted: Vec<u8>,
}

impl Seed {
    /// Makes a seed for `parent`.
    pub(crate) fn new(parent: &Public, usage: SeedUse, fresh: &Freshness<'_>) -> Result<Self, ProtectError> {
        let hash = parent.name_alg();
        let (symmetric, (secret, encrypted)) = match parent.key() {
            Key::Rsa { symmetric, .. } => (*symmetric, rsa_seed(parent, usage, fresh)?),
            Key::Ecc { symmetric, point, .. } => (*symmetric, ecc_seed(hash, point, usage, fresh)?),
            Key::Sealed { .. } => return Err(ProtectError::NotAParent),
        };
        if symmetric == Symmetric::Null {
            return Err(ProtectError::NotAParent);
        }
        Ok(Self { hash, symmetric, secret, encrypted })
    }

    /// `2B(HMAC(ct ‖ Name)) ‖ ct`: the payload, bound to `object`.
    pub(crate) fn protect(&self, object: &Name, payload: &[u8]) -> Result<Vec<u8>, ProtectError> {
        let mut cipher_text = payload.to_vec();
        self.encrypt(object, &mut cipher_text)?;
        let hmac_key =
            kdf_a(self.hash, &self.secret, "INTEGRITY", &[], &[], self.hash.len().saturating_mul(8));
        let integrity = self.hash.hmac(&hmac_key, &[&cipher_text, object.as_bytes()]);
        let mut out = Vec::with_capacity(cipher_text.len().saturating_add(50));
        put_sized(&mut out, &integrity, "integrity")?;
        out.extend_from_slice(&cipher_text);
        Ok(out)
    }

    /// `HMAC(ct ‖ Name)` under the seed's integrity key.
    pub(crate) fn integrity(&self, object: &Name, cipher_text: &[u8]) -> Zeroizing<Vec<u8>> {
        let key = kdf_a(self.hash, &self.secret, "INTEGRITY", &[], &[], self.hash.len().saturating_mul(8));
        self.hash.hmac(&key, &[cipher_text, object.as_bytes()])
    }

    /// The key that encrypts for `object`, of as many bits as the parent's cipher takes.
    pub(crate) fn storage_key(&self, object: &Name, bits: u16) -> Zeroizing<Vec<u8>> {
        kdf_a(self.hash, &self.secret, "STORAGE", object.as_bytes(), &[], bits)
    }

    fn encrypt(&self, object: &Name, payload: &mut [u8]) -> Result<(), ProtectError> {
        match self.symmetric {
            Symmetric::Aes128Cfb => cfb::<aes::Aes128>(&self.storage_key(object, 128), payload),
            Symmetric::Aes256Cfb => cfb::<aes::Aes256>(&self.storage_key(object, 256), payload),
            Symmetric::Null => Err(ProtectError::NotAParent),
        }
    }
}

/// CFB with a zero IV, as the TPM does: each key encrypts one payload only.
fn cfb<C>(key: &[u8], payload: &mut [u8]) -> Result<(), ProtectError>
where
    C: aes::cipher::BlockCipherEncrypt + KeyInit,
    cfb_mode::Encryptor<C>: KeyIvInit,
{
    let iv = [0u8; 16];
    let cipher = cfb_mode::Encryptor::<C>::new_from_slices(key, &iv).map_err(|_| ProtectError::NotAParent)?;
    cipher.encrypt(payload);
    Ok(())
}

type SecretAndWire = (Zeroizing<Vec<u8>>, Vec<u8>);

fn rsa_seed(parent: &Public, usage: SeedUse, fresh: &Freshness<'_>) -> Result<SecretAndWire, ProtectError> {
    let hash = parent.name_alg();
    let mut seed = Zeroizing::new(vec![0; usize::from(hash.len())]);
    match fresh {
        Freshness::Random => getrandom::fill(&mut seed).map_err(ProtectError::Entropy)?,
        Freshness::Fixed(bytes) => *seed = bytes.to_vec(),
    }
    let spki = parent.spki_der().ok_or(ProtectError::NotAParent)?;
    let key = PublicEncryptingKey::from_der(&spki).and_then(|key| Ok(OaepPublicEncryptingKey::new(key)?));
    let key = key.map_err(|_| ProtectError::Rsa)?;
    let oaep = match hash {
        HashAlg::Sha256 => &OAEP_SHA256_MGF1SHA256,
        HashAlg::Sha384 => &OAEP_SHA384_MGF1SHA384,
    };
    let label = [usage.label().as_bytes(), &[0]].concat();
    let mut out = vec![0; key.ciphertext_size()];
    let encrypted = key.encrypt(oaep, &seed, &mut out, Some(&label)).map_err(|_| ProtectError::Rsa)?.to_vec();
    Ok((seed, encrypted))
}

fn ecc_seed(
    hash: HashAlg,
    parent: &EccPoint,
    usage: SeedUse,
    fresh: &Freshness<'_>,
) -> Result<SecretAndWire, ProtectError> {
    let (z, ephemeral) = match parent {
        EccPoint::P256(key) => {
            let secret = ephemeral::<32, _>(fresh, |bytes| p256::SecretKey::from_slice(bytes).ok())?;
            let shared = secret.diffie_hellman(key);
            (Zeroizing::new(shared.raw_secret_bytes().to_vec()), EccPoint::P256(secret.public_key()))
        }
        EccPoint::P384(key) => {
            let secret = ephemeral::<48, _>(fresh, |bytes| p384::SecretKey::from_slice(bytes).ok())?;
            let shared = secret.diffie_hellman(key);
            (Zeroizing::new(shared.raw_secret_bytes().to_vec()), EccPoint::P384(secret.public_key()))
        }
    };
    let (eph_x, eph_y) = ephemeral.coordinates();
    let (parent_x, _) = parent.coordinates();
    let seed = kdf_e(hash, &z, usage.label(), &eph_x, &parent_x);
    let mut encrypted = Vec::with_capacity(100);
    put_sized(&mut encrypted, &eph_x, "ephemeral point")?;
    put_sized(&mut encrypted, &eph_y, "ephemeral point")?;
    Ok((seed, encrypted))
}

/// Draws scalars until one is valid; a random one is out of range with probability below 2⁻³².
fn ephemeral<const N: usize, K>(
    fresh: &Freshness<'_>,
    parse: impl Fn(&[u8]) -> Option<K>,
) -> Result<K, ProtectError> {
    if let Freshness::Fixed(bytes) = fresh {
        return parse(bytes).ok_or(ProtectError::NotAParent);
    }
    let mut bytes = Zeroizing::new([0u8; N]);
    loop {
        getrandom::fill(bytes.as_mut_slice()).map_err(ProtectError::Entropy)?;
        if let Some(key) = parse(bytes.as_slice()) {
            return Ok(key);
        }
    }
}
