//! Keys and signatures in requests.

use holdfast_domain::{Reason, Signature64};
use holdfast_keys::ClientPublic;
use holdfast_sys_core::Refusal;

use super::wire;

/// An Ed25519 public key of 32 bytes.
///
/// # Errors
/// [`Reason::Malformed`].
pub(super) fn public(bytes: &[u8]) -> Result<ClientPublic, Refusal> {
    ClientPublic::from_bytes(bytes).map_err(wire::malformed)
}

/// Checks a signature over a message that says what it is for.
///
/// # Errors
/// [`Reason::Malformed`] for one of another length, and the given reason for one that is wrong.
pub(super) fn check(
    key: &ClientPublic,
    message: &[u8],
    signature: &[u8],
    reason: Reason,
) -> Result<(), Refusal> {
    let signature: [u8; 64] =
        signature.try_into().map_err(|_| wire::malformed("a signature has another length than 64"))?;
    key.verify_raw(message, &Signature64(signature)).map_err(|error| Refusal::new(reason).because(error))
}
