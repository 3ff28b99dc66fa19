//! The inverse of protecting: what a TPM does when it activates a credential or imports an object under a P-256 parent.

use aes::cipher::KeyIvInit;
use holdfast_keys::{Secret32, hash::equal_constant_time};
use zeroize::Zeroizing;

use super::{SoftError, soft};
use crate::alg::{ALG_KEYEDHASH, HashAlg, sha256};
use crate::kdf::kdf_e;
use crate::name::Name;
use crate::parent::{Seed, SeedUse};
use crate::public::{Curve, EccPoint, Key, Public, Symmetric};
use crate::wire::Reader;

pub(super) fn private_key() -> Result<p256::SecretKey, SoftError> {
    // A random scalar is out of range with probability 2⁻³²; that is an error like any other here.
    let scalar = Secret32::generate().map_err(soft)?;
    p256::SecretKey::from_slice(scalar.expose_for_wrapping()).map_err(soft)
}

/// Recovers the seed that was made for this parent.
pub(super) fn recover(parent: &p256::SecretKey, usage: SeedUse, encrypted: &[u8]) -> Result<Seed, SoftError> {
    let mut reader = Reader::bounded(encrypted, 128, "encrypted seed")?;
    let (x, y) = (reader.sized(32, "ephemeral x")?, reader.sized(32, "ephemeral y")?);
    reader.finish("encrypted seed")?;
    let ephemeral = EccPoint::from_coordinates(Curve::P256, x, y)?;
    let EccPoint::P256(point) = &ephemeral else {
        return Err(soft("not a P-256 point"));
    };
    let shared = parent.diffie_hellman(point);
    let (parent_x, _) = EccPoint::P256(parent.public_key()).coordinates();
    let (eph_x, _) = ephemeral.coordinates();
    let secret = kdf_e(HashAlg::Sha256, shared.raw_secret_bytes(), usage.label(), &eph_x, &parent_x);
    Ok(Seed { hash: HashAlg::Sha256, symmetric: Symmetric::Aes128Cfb, secret, encrypted: encrypted.to_vec() })
}

/// Checks `2B(HMAC) ‖ ct` for `object` and decrypts it.
pub(super) fn unprotect(
    seed: &Seed,
    object: &Name,
    protected: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SoftError> {
    let mut reader = Reader::bounded(protected, 1024, "protected object")?;
    let integrity = reader.sized(64, "integrity")?;
    let cipher_text = reader.rest();
    if !equal_constant_time(&seed.integrity(object, cipher_text), integrity) {
        return Err(soft("integrity check failed"));
    }
    let mut plain = Zeroizing::new(cipher_text.to_vec());
    let key = seed.storage_key(object, 128);
    let cipher = cfb_mode::Decryptor::<aes::Aes128>::new_from_slices(&key, &[0; 16]).map_err(soft)?;
    cipher.decrypt(&mut plain);
    Ok(plain)
}

/// The content of one `TPM2B` with nothing after it.
pub(super) fn only_sized(bytes: &[u8]) -> Result<&[u8], SoftError> {
    let mut reader = Reader::bounded(bytes, 1024, "payload")?;
    let content = reader.sized(1024, "payload")?;
    reader.finish("payload")?;
    Ok(content)
}

/// The key in a `2B(TPMT_SENSITIVE)`, checked against its public area.
pub(super) fn sealed_key(object: &Public, sensitive: &[u8]) -> Result<Secret32, SoftError> {
    let mut reader = Reader::bounded(only_sized(sensitive)?, 1024, "sensitive area")?;
    if reader.u16("sensitive type")? != ALG_KEYEDHASH {
        return Err(soft("not a sealed object"));
    }
    reader.sized(0, "authValue")?;
    let obfuscation = reader.sized(32, "seedValue")?;
    let data = reader.sized(128, "sealed data")?;
    reader.finish("sensitive area")?;
    match object.key() {
        Key::Sealed { unique } if *unique == sha256(&[obfuscation, data]) => {
            Secret32::from_slice(data).map_err(soft)
        }
        _ => Err(soft("public and sensitive area do not belong together")),
    }
}
