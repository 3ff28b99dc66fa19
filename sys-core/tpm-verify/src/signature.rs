//! `TPMT_SIGNATURE`: ECDSA over SHA-256, pinned; the algorithm that a signature claims decides nothing.

use holdfast_domain::Signature64;

use crate::alg::{ALG_ECDSA, ALG_SHA256};
use crate::limits::SIGNATURE_MAX;
use crate::wire::{Malformed, Reader, left_pad};

/// Half a P-256 signature.
const SCALAR: usize = 32;

/// Parses a `TPMT_SIGNATURE` to `r ‖ s`; the whole input must be consumed. Whether the halves are in range is for the
/// verification to say.
///
/// # Errors
/// Another algorithm or hash, or a half that is too long.
pub fn parse(bytes: &[u8]) -> Result<Signature64, Malformed> {
    let mut reader = Reader::bounded(bytes, SIGNATURE_MAX, "signature")?;
    if reader.u16("signature algorithm")? != ALG_ECDSA {
        return Err(Malformed::Unsupported("signature algorithm"));
    }
    if reader.u16("signature hash")? != ALG_SHA256 {
        return Err(Malformed::Unsupported("signature hash"));
    }
    let r = left_pad::<SCALAR>(reader.sized(SCALAR, "signature r")?, "signature r")?;
    let s = left_pad::<SCALAR>(reader.sized(SCALAR, "signature s")?, "signature s")?;
    reader.finish("signature")?;
    let mut raw = [0; 64];
    raw.iter_mut().zip(r.into_iter().chain(s)).for_each(|(to, from)| *to = from);
    Ok(Signature64(raw))
}

/// The `TPMT_SIGNATURE` that a TPM reads.
#[must_use]
pub fn to_tpm(signature: &Signature64) -> Vec<u8> {
    let (r, s) = signature.0.split_at(SCALAR);
    let size: [u8; 2] = [0, 32];
    [&ALG_ECDSA.to_be_bytes()[..], &ALG_SHA256.to_be_bytes(), &size, r, &size, s].concat()
}
