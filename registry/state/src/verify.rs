//! Signatures that `apply` checks, each before anything of what was signed is looked at.

use std::collections::BTreeSet;

use holdfast_domain::{
    Admission, P256Point, Reason, ShardMap, Signed, SignedAdmission, WrapRow, admission::MAX_ADMISSION,
    codec, map::MAX_MAP, wrap::MAX_WRAP,
};
use holdfast_keys::{P256Public, labels, sign};

use crate::{limits, state::State};

/// An operators' request with enough valid signatures of distinct, unbanned operators.
pub(crate) fn admission(state: &State, signed: &SignedAdmission) -> Result<Admission, Reason> {
    if signed.bytes.len() > MAX_ADMISSION || signed.signatures.len() > limits::MAX_OPERATORS {
        return Err(Reason::Malformed);
    }
    let valid: BTreeSet<_> = signed
        .signatures
        .iter()
        .filter(|(name, signature)| {
            let operator = state.operators.iter().find(|operator| operator.name == *name);
            operator.filter(|operator| state.may_sign(operator)).is_some_and(|operator| {
                P256Public::from_point(&operator.key)
                    .is_ok_and(|key| key.verify(labels::ADMISSION, &signed.bytes, signature).is_ok())
            })
        })
        .map(|(name, _)| name)
        .collect();
    if valid.len() < usize::from(state.operator_threshold.max(1)) {
        return Err(Reason::AdmissionUnsigned);
    }
    codec::decode(&signed.bytes, MAX_ADMISSION).map_err(|_| Reason::Malformed)
}

/// A shard map under the map key.
pub(crate) fn shard_map(key: &P256Point, signed: &Signed<ShardMap>) -> Result<ShardMap, Reason> {
    let key = P256Public::from_point(key).map_err(|_| Reason::Malformed)?;
    sign::verify_value(signed, &key, labels::SHARD_MAP, MAX_MAP).map_err(|_| Reason::NotPermitted)
}

/// A wrap under the TLS key of the member that it names as its maker.
pub(crate) fn wrap_row(state: &State, signed: &Signed<WrapRow>) -> Result<WrapRow, Reason> {
    // The maker's name is needed to find the key; nothing else of the row is used before its signature holds.
    let claimed: WrapRow = codec::decode(&signed.bytes, MAX_WRAP).map_err(|_| Reason::Malformed)?;
    let maker = state.members.get(&claimed.by).ok_or(Reason::NotAMember)?;
    let key = P256Public::from_point(&maker.tls_key).map_err(|_| Reason::WrapSignature)?;
    sign::verify_value(signed, &key, labels::WRAP_ROW, MAX_WRAP).map_err(|_| Reason::WrapSignature)
}
