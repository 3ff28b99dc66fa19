//! A maker of TPMs: certifies EKs, so that tickets and the approval queue take them. The smallest X.509 that does.

use holdfast_keys::{Signer as _, SoftSigner};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// tcg-kp-EKCertificate.
const EK_USAGE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

pub(crate) struct EkMaker {
    key: SoftSigner,
}

impl EkMaker {
    pub(crate) fn new() -> Self {
        Self { key: SoftSigner::generate().unwrap() }
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        let ca = extension(BASIC_CONSTRAINTS, &tlv(SEQUENCE, &[&[0x01, 0x01, 0xff]]));
        self.certificate(&self.key.public().to_spki_der(), "maker", &ca)
    }

    pub(crate) fn certify(&self, ek_spki: &[u8]) -> Vec<u8> {
        let usage = extension(EXTENDED_KEY_USAGE, &tlv(SEQUENCE, &[&tlv(OID, &[EK_USAGE])]));
        self.certificate(ek_spki, "ek", &usage)
    }

    fn certificate(&self, spki: &[u8], subject: &str, extension: &[u8]) -> Vec<u8> {
        let algorithm = tlv(SEQUENCE, &[&tlv(OID, &[ECDSA_SHA256])]);
        let validity = tlv(SEQUENCE, &[&tlv(0x17, &[b"200101000000Z"]), &tlv(0x18, &[b"20991231235959Z"])]);
        let extensions = tlv(0xa3, &[&tlv(SEQUENCE, &[extension])]);
        let body = tlv(
            SEQUENCE,
            &[
                &tlv(0xa0, &[&tlv(INTEGER, &[&[2]])]),
                &tlv(INTEGER, &[&[7]]),
                &algorithm,
                &name("maker"),
                &validity,
                &name(subject),
                spki,
                &extensions,
            ],
        );
        let signature = self.key.sign(&body).unwrap().0;
        let (r, s) = signature.split_at(32);
        let signature = tlv(SEQUENCE, &[&integer(r), &integer(s)]);
        tlv(SEQUENCE, &[&body, &algorithm, &tlv(BIT_STRING, &[&[0], &signature])])
    }
}

fn name(common: &str) -> Vec<u8> {
    let attribute = tlv(SEQUENCE, &[&tlv(OID, &[COMMON_NAME]), &tlv(0x0c, &[common.as_bytes()])]);
    tlv(SEQUENCE, &[&tlv(SET, &[&attribute])])
}

fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OID, &[oid]), &tlv(OCTET_STRING, &[value])])
}

/// An unsigned integer in its shortest form.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let digits = &bytes[start..];
    let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
    tlv(INTEGER, &[sign, digits])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match value.len() {
        0..=127 => out.push(low),
        128..=255 => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    out.extend_from_slice(&value);
    out
}
