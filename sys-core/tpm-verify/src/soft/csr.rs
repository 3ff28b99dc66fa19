//! The smallest PKCS#10 request: no subject, no attributes, a P-256 key.

use holdfast_keys::Signer;

use super::{SoftError, soft};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// AlgorithmIdentifier { ecdsa-with-SHA256 }.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// Version 0, empty subject.
const HEAD: &[u8] = &[0x02, 0x01, 0x00, 0x30, 0x00];
/// No attributes.
const TAIL: &[u8] = &[0xa0, 0x00];

pub(crate) fn create(signer: &dyn Signer) -> Result<Vec<u8>, SoftError> {
    let spki = signer.public().to_spki_der();
    let info = tlv(SEQUENCE, &[HEAD, &spki, TAIL])?;
    let signature = signer.sign(&info).map_err(soft)?;
    let signature = p256::ecdsa::Signature::from_slice(&signature.0).map_err(soft)?.to_der();
    let signature = tlv(BIT_STRING, &[&[0], signature.as_bytes()])?;
    tlv(SEQUENCE, &[&info, ECDSA_SHA256, &signature])
}

/// Tag, length in its shortest form below 65,536, value.
fn tlv(tag: u8, parts: &[&[u8]]) -> Result<Vec<u8>, SoftError> {
    let value = parts.concat();
    let len = u16::try_from(value.len()).map_err(soft)?;
    let [high, low] = len.to_be_bytes();
    let mut out = vec![tag];
    match len {
        0..=127 => out.push(low),
        128..=255 => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    out.extend_from_slice(&value);
    Ok(out)
}
