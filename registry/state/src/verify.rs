//! Signatures that `apply` checks, each before anything of what was signed is looked at.

use holdfast_domain::{
    P256Point, Reason, ShardMap, Signed, SignedAdmission, WrapRow, codec, map::MAX_MAP, wrap::MAX_WRAP,
};
use holdfast_keys::{P256Public, labels, sign};
use holdfast_tpm_verify::admission::{self, OperatorSet, VerifiedAdmission};

use crate::state::State;

/// An operators' request with enough signatures of unbanned operators: the same check that replicas do before they wrap.
pub(crate) fn admission(state: &State, signed: &SignedAdmission) -> Result<VerifiedAdmission, Reason> {
    let cluster = state.founded_or_refuse()?.genesis.cluster;
    let able: Vec<_> = state.operators.iter().filter(|operator| state.may_sign(operator)).cloned().collect();
    let set = OperatorSet::new(state.operator_set(), &able, state.operator_threshold)
        .map_err(|_| Reason::AdmissionUnsigned)?;
    admission::verify(cluster, &set, signed).map_err(|denial| denial.reason)
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
