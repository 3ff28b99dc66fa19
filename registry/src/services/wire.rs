//! Between messages and values.

use holdfast_domain::{Reason, Signature64, Signed, VoterEndpoint};
use holdfast_proto::registry::v1::{SignedRow, Voter};
use holdfast_sys_core::Refusal;

/// Signed bytes as they travel.
pub fn signed_row<T>(signed: &Signed<T>) -> SignedRow {
    SignedRow { bytes: signed.bytes.clone().into(), signature: signed.signature.0.to_vec().into() }
}

/// Signed bytes of at most `max`, not checked yet.
///
/// # Errors
/// [`Reason::Malformed`].
pub fn read_signed<T>(row: SignedRow, max: usize) -> Result<Signed<T>, Refusal> {
    let SignedRow { bytes, signature } = row;
    if bytes.len() > max {
        return Err(malformed("a signed row is too long"));
    }
    let signature =
        signature.as_ref().try_into().map_err(|_| malformed("a signature has another length than 64"))?;
    Ok(Signed::from_parts(bytes.into(), Signature64(signature)))
}

/// A member of the registry's group.
pub fn voter(endpoint: &VoterEndpoint) -> Voter {
    let VoterEndpoint { node, replica, address, spki } = endpoint;
    Voter {
        node_id: node.as_bytes().to_vec().into(),
        replica_id: replica.0,
        address: address.clone(),
        spki_hash: spki.as_bytes().to_vec().into(),
    }
}

/// An identifier.
///
/// # Errors
/// [`Reason::Malformed`].
pub fn id<'a, T: TryFrom<&'a [u8]>>(bytes: &'a [u8], what: &'static str) -> Result<T, Refusal> {
    T::try_from(bytes).map_err(|_| malformed(what))
}

/// A message that is not what it should be.
pub fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed).because(what)
}
