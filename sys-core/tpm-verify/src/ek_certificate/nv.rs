//! What vendors store in NV: DER with an optional TCG header in front and padding behind.

use crate::limits::{CERTIFICATE_MAX, CHAIN_MAX};

/// `TCG_PCCLIENT_STORED_CERT` tag of TPM 1.2 days, still written by some vendors.
const STORED_CERT: [u8; 2] = [0x10, 0x01];
/// `TCG_FULL_CERT` tag.
const FULL_CERT: [u8; 2] = [0x10, 0x02];
/// DER SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// Why an NV index holds no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvError {
    /// No DER SEQUENCE where the certificate should begin.
    #[error("NV holds no certificate")]
    NoCertificate,
    /// The certificate is longer than the index or than any certificate we take.
    #[error("certificate in NV is cut off or too long")]
    Length,
    /// More certificates than a chain may have.
    #[error("certificate chain in NV is too long")]
    ChainLength,
}

/// The DER certificate in an EK certificate NV index, without vendor header and padding. Plain DER comes back as it is.
///
/// # Errors
/// See [`NvError`].
pub fn certificate_from_nv(nv: &[u8]) -> Result<&[u8], NvError> {
    let (der, _padding) = split_sequence(strip_header(nv))?;
    Ok(der)
}

/// The DER certificates in the chain NV indices, whose contents the caller has put together in index order.
///
/// # Errors
/// See [`NvError`].
pub fn chain_from_nv(nv: &[u8]) -> Result<Vec<&[u8]>, NvError> {
    let mut chain = Vec::new();
    let mut rest = nv;
    while rest.first() == Some(&SEQUENCE) {
        if chain.len() == CHAIN_MAX {
            return Err(NvError::ChainLength);
        }
        let (der, tail) = split_sequence(rest)?;
        chain.push(der);
        rest = tail;
    }
    Ok(chain)
}

/// Strips `10 01, type, size(BE16), 10 02` if it is there.
fn strip_header(nv: &[u8]) -> &[u8] {
    match nv {
        [t0, t1, _type, _size0, _size1, f0, f1, rest @ ..]
            if [*t0, *t1] == STORED_CERT && [*f0, *f1] == FULL_CERT =>
        {
            rest
        }
        [t0, t1, _type, _size0, _size1, rest @ ..] if [*t0, *t1] == STORED_CERT => rest,
        _ => nv,
    }
}

/// Splits one DER SEQUENCE off, by its two-byte length form: certificates are 256 to 8,192 bytes long.
fn split_sequence(bytes: &[u8]) -> Result<(&[u8], &[u8]), NvError> {
    let [SEQUENCE, 0x82, high, low, ..] = bytes else {
        return Err(NvError::NoCertificate);
    };
    let len = usize::from(u16::from_be_bytes([*high, *low])).saturating_add(4);
    if len > CERTIFICATE_MAX {
        return Err(NvError::Length);
    }
    bytes.split_at_checked(len).ok_or(NvError::Length)
}
