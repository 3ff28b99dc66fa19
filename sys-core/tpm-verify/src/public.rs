//! `TPMT_PUBLIC`: a key's public area, parsed strictly. The bytes stay as they came, because the Name is their hash.

mod ecc;
mod spki;

pub use ecc::{Curve, EccPoint};

use crate::alg::{ALG_AES, ALG_CFB, ALG_ECC, ALG_ECDSA, ALG_KEYEDHASH, ALG_NULL, ALG_RSA, HashAlg};
use crate::limits::{DIGEST_MAX, PUBLIC_MAX, RSA_MODULUS_MAX};
use crate::name::Name;
use crate::wire::{Malformed, Reader};

/// A parsed public area. Says nothing about trust: the typed views in [`crate::roles`] check what a key may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    bytes: Vec<u8>,
    name_alg: HashAlg,
    attributes: u32,
    auth_policy: Vec<u8>,
    key: Key,
}

/// The type-specific half of a public area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// An RSA-2048 key with exponent 65537.
    Rsa {
        /// The cipher of a storage parent.
        symmetric: Symmetric,
        /// The modulus, 256 bytes.
        modulus: Vec<u8>,
    },
    /// A key on P-256 or P-384; the point was checked to lie on the curve.
    Ecc {
        /// The cipher of a storage parent.
        symmetric: Symmetric,
        /// The signing scheme.
        scheme: EccScheme,
        /// The public point.
        point: EccPoint,
    },
    /// A sealed object.
    Sealed {
        /// SHA-256(obfuscation ‖ data) for objects under SHA-256.
        unique: Vec<u8>,
    },
}

/// The cipher by which a storage parent protects its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetric {
    /// Not a storage parent.
    Null,
    /// AES-128 in CFB mode.
    Aes128Cfb,
    /// AES-256 in CFB mode.
    Aes256Cfb,
}

/// What a key on a curve signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EccScheme {
    /// No fixed scheme.
    Null,
    /// ECDSA, always over this hash.
    Ecdsa(HashAlg),
}

impl Public {
    /// Parses a `TPMT_PUBLIC` (without the length prefix of a `TPM2B_PUBLIC`); the whole input must be consumed.
    ///
    /// # Errors
    /// Anything that is not RSA-2048, P-256, P-384 or a sealed object in its one encoding.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::bounded(bytes, PUBLIC_MAX, "public area")?;
        let kind = reader.u16("public type")?;
        let name_alg = HashAlg::from_id(reader.u16("nameAlg")?, "nameAlg")?;
        let attributes = reader.u32("object attributes")?;
        let auth_policy = reader.sized(DIGEST_MAX, "authPolicy")?.to_vec();
        if !auth_policy.is_empty() && auth_policy.len() != usize::from(name_alg.len()) {
            return Err(Malformed::Invalid("authPolicy"));
        }
        let key = match kind {
            ALG_RSA => read_rsa(&mut reader)?,
            ALG_ECC => read_ecc(&mut reader)?,
            ALG_KEYEDHASH => read_sealed(&mut reader, name_alg)?,
            _ => return Err(Malformed::Unsupported("public type")),
        };
        reader.finish("public area")?;
        Ok(Self { bytes: bytes.to_vec(), name_alg, attributes, auth_policy, key })
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The Name: `nameAlg ‖ H(TPMT_PUBLIC)`.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::of_bytes(self.name_alg, &self.bytes)
    }

    /// The hash of the Name; also the hash of a parent's seeds and integrity values.
    #[must_use]
    pub fn name_alg(&self) -> HashAlg {
        self.name_alg
    }

    /// `TPMA_OBJECT`.
    #[must_use]
    pub fn attributes(&self) -> u32 {
        self.attributes
    }

    /// The policy digest, empty if the object has none.
    #[must_use]
    pub fn auth_policy(&self) -> &[u8] {
        &self.auth_policy
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The key as a DER `SubjectPublicKeyInfo`; `None` for a sealed object, which has none.
    #[must_use]
    pub fn spki_der(&self) -> Option<Vec<u8>> {
        match &self.key {
            Key::Rsa { modulus, .. } => Some(spki::rsa(modulus)),
            Key::Ecc { point, .. } => Some(spki::ecc(point)),
            Key::Sealed { .. } => None,
        }
    }
}

fn read_rsa(reader: &mut Reader<'_>) -> Result<Key, Malformed> {
    let symmetric = read_symmetric(reader)?;
    if reader.u16("RSA scheme")? != ALG_NULL {
        return Err(Malformed::Unsupported("RSA scheme"));
    }
    if reader.u16("RSA key bits")? != 2048 {
        return Err(Malformed::Unsupported("RSA key bits"));
    }
    // 0 is the TPM's way to write 65537; a TPM never reports it as a number.
    if reader.u32("RSA exponent")? != 0 {
        return Err(Malformed::Unsupported("RSA exponent"));
    }
    let modulus = reader.sized(RSA_MODULUS_MAX, "RSA modulus")?;
    let full = modulus.len() == RSA_MODULUS_MAX && modulus.first().is_some_and(|byte| byte & 0x80 != 0);
    let odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
    if !full || !odd {
        return Err(Malformed::Invalid("RSA modulus"));
    }
    Ok(Key::Rsa { symmetric, modulus: modulus.to_vec() })
}

fn read_ecc(reader: &mut Reader<'_>) -> Result<Key, Malformed> {
    let symmetric = read_symmetric(reader)?;
    let scheme = match reader.u16("ECC scheme")? {
        ALG_NULL => EccScheme::Null,
        ALG_ECDSA => EccScheme::Ecdsa(HashAlg::from_id(reader.u16("ECDSA hash")?, "ECDSA hash")?),
        _ => return Err(Malformed::Unsupported("ECC scheme")),
    };
    let curve = Curve::from_id(reader.u16("curve")?)?;
    if reader.u16("ECC kdf")? != ALG_NULL {
        return Err(Malformed::Unsupported("ECC kdf"));
    }
    let x = reader.sized(curve.size(), "ECC x")?;
    let y = reader.sized(curve.size(), "ECC y")?;
    Ok(Key::Ecc { symmetric, scheme, point: EccPoint::from_coordinates(curve, x, y)? })
}

fn read_sealed(reader: &mut Reader<'_>, name_alg: HashAlg) -> Result<Key, Malformed> {
    if reader.u16("keyed-hash scheme")? != ALG_NULL {
        return Err(Malformed::Unsupported("keyed-hash scheme"));
    }
    let unique = reader.sized(DIGEST_MAX, "keyed-hash unique")?;
    if unique.len() != usize::from(name_alg.len()) {
        return Err(Malformed::Invalid("keyed-hash unique"));
    }
    Ok(Key::Sealed { unique: unique.to_vec() })
}

fn read_symmetric(reader: &mut Reader<'_>) -> Result<Symmetric, Malformed> {
    match reader.u16("symmetric algorithm")? {
        ALG_NULL => Ok(Symmetric::Null),
        ALG_AES => {
            let bits = reader.u16("AES key bits")?;
            if reader.u16("AES mode")? != ALG_CFB {
                return Err(Malformed::Unsupported("AES mode"));
            }
            match bits {
                128 => Ok(Symmetric::Aes128Cfb),
                256 => Ok(Symmetric::Aes256Cfb),
                _ => Err(Malformed::Unsupported("AES key bits")),
            }
        }
        _ => Err(Malformed::Unsupported("symmetric algorithm")),
    }
}
