//! The public areas of a software TPM's keys, with the attributes that a real one's must have.

use holdfast_keys::P256Public;

use super::SoftError;
use crate::alg::{ALG_AES, ALG_CFB, ALG_ECC, ALG_ECDSA, ALG_NULL, ALG_SHA256, ECC_P256};
use crate::public::{EccPoint, Public};
use crate::roles::{AK_ATTRIBUTES, EK_LOW_ATTRIBUTES, POLICY_A_SHA256, SRK_ATTRIBUTES, TLS_ATTRIBUTES};
use crate::wire::put_sized;

const STORAGE: &[u16] = &[ALG_AES, 128, ALG_CFB, ALG_NULL];
const SIGNING: &[u16] = &[ALG_NULL, ALG_ECDSA, ALG_SHA256];

pub(super) fn ek(private: &p256::SecretKey) -> Result<Public, SoftError> {
    area(EK_LOW_ATTRIBUTES, &POLICY_A_SHA256, STORAGE, &EccPoint::P256(private.public_key()).to_sec1())
}

pub(super) fn srk(private: &p256::SecretKey) -> Result<Public, SoftError> {
    area(SRK_ATTRIBUTES, &[], STORAGE, &EccPoint::P256(private.public_key()).to_sec1())
}

pub(super) fn ak(key: &P256Public) -> Result<Public, SoftError> {
    area(AK_ATTRIBUTES, &[], SIGNING, key.as_bytes())
}

pub(super) fn tls(key: &P256Public) -> Result<Public, SoftError> {
    area(TLS_ATTRIBUTES, &[], SIGNING, key.as_bytes())
}

/// A P-256 `TPMT_PUBLIC`; `parameters` are cipher and scheme.
fn area(attributes: u32, policy: &[u8], parameters: &[u16], sec1: &[u8]) -> Result<Public, SoftError> {
    let mut out = ALG_ECC.to_be_bytes().to_vec();
    out.extend_from_slice(&ALG_SHA256.to_be_bytes());
    out.extend_from_slice(&attributes.to_be_bytes());
    put_sized(&mut out, policy, "authPolicy")?;
    for word in parameters.iter().chain(&[ECC_P256, ALG_NULL]) {
        out.extend_from_slice(&word.to_be_bytes());
    }
    let (_, point) = sec1.split_at(1);
    let (x, y) = point.split_at(32);
    put_sized(&mut out, x, "ECC x")?;
    put_sized(&mut out, y, "ECC y")?;
    Ok(Public::parse(&out)?)
}
