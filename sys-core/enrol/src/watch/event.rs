//! Reading a [`WatchEvent`]: bounded, signature first, never back in time.

use std::sync::Arc;

use holdfast_domain::{
    AccountId, BanSubject, ClusterId, GroupId, IdError, KeyGeneration, PcrApproval, ReplicaId, Role,
    ShardMap, Signature64, Signed, VoterEndpoint,
    codec::{self, CodecError},
    map::{MAX_MAP, MapError},
};
use holdfast_keys::{P256Public, labels, sign, verify_value};
use holdfast_proto::registry::v1::{GlobalRole, KeyRotation, SignedRow, Voter, WatchEvent};

use super::{VerifiedMap, View};

/// Largest event: a full map and everything beside it.
pub(super) const MAX_EVENT: usize = MAX_MAP + (4 << 20);
/// Bans, approvals, drops and rotations in one event, of each.
const MAX_ROWS: usize = 100_000;
/// Global roles in one event, as many as the registry keeps.
const MAX_GLOBAL_ROLES: usize = 4_096;
/// One encoded ban or approval.
const MAX_ROW: usize = 4096;

/// Why an event is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// It shows an older state than the one known.
    #[error("older than what is known")]
    Older,
    /// The map is not signed by the cluster's map key.
    #[error("the shard map's signature")]
    Map(#[source] sign::VerifyError),
    /// The map is inconsistent.
    #[error("the shard map")]
    Shape(#[from] MapError),
    /// The map is another cluster's.
    #[error("the shard map is for another cluster")]
    Cluster,
    /// A row does not decode.
    #[error("a row")]
    Row(#[from] CodecError),
    /// An identifier has the wrong length.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Over the limit.
    #[error("more than {MAX_ROWS} rows")]
    TooMany,
    /// A field is missing or unknown.
    #[error("{0}")]
    Field(&'static str),
}

pub(super) fn read(
    event: WatchEvent,
    cluster: ClusterId,
    map_key: &P256Public,
    known: &View,
) -> Result<View, EventError> {
    let WatchEvent { index, map, bans, pcr_approvals, voters, global_roles, drops, rotations } = event;
    let rows = [bans.len(), pcr_approvals.len(), voters.len(), drops.len(), rotations.len()];
    if rows.into_iter().any(|rows| rows > MAX_ROWS) {
        return Err(EventError::TooMany);
    }
    if global_roles.len() > MAX_GLOBAL_ROLES {
        return Err(EventError::TooMany);
    }
    let map = map.map(|row| verified_map(row, cluster, map_key, known)).transpose()?;
    let decode_ban = |row: &bytes::Bytes| codec::decode::<BanSubject>(row, MAX_ROW);
    let decode_approval = |row: &bytes::Bytes| codec::decode::<PcrApproval>(row, MAX_ROW);
    let view = View {
        index,
        map: map.or_else(|| known.map.clone()),
        bans: bans.iter().map(decode_ban).collect::<Result<_, _>>()?,
        approvals: pcr_approvals.iter().map(decode_approval).collect::<Result<_, _>>()?,
        voters: voters.into_iter().map(voter).collect::<Result<_, _>>()?,
        drops: drops.iter().map(|drop| (GroupId(drop.group), ReplicaId(drop.replica_id))).collect(),
        rotations: rotations.iter().map(rotation).collect(),
        global_roles: Arc::new(global_roles.iter().map(global_role).collect::<Result<_, _>>()?),
    };
    // A member that is behind would give rights back; a restored registry begins a new lineage and says so in its map.
    if view.index < known.index && !newer_lineage(&view, known) { Err(EventError::Older) } else { Ok(view) }
}

/// Checks a signed map and that it is no older than the known one.
fn verified_map(
    row: SignedRow,
    cluster: ClusterId,
    map_key: &P256Public,
    known: &View,
) -> Result<Arc<VerifiedMap>, EventError> {
    let signature =
        row.signature.as_ref().try_into().map_err(|_| EventError::Field("a signature has 64 bytes"))?;
    let signed: Signed<ShardMap> = Signed::from_parts(row.bytes.to_vec(), Signature64(signature));
    if let Some(known) = &known.map
        && known.signed == signed
    {
        return Ok(Arc::clone(known));
    }
    let verified = VerifiedMap::verify(signed, cluster, map_key)?;
    if known.map.as_ref().is_some_and(|known| known.map.is_newer_than(&verified.map)) {
        return Err(EventError::Older);
    }
    Ok(Arc::new(verified))
}

impl VerifiedMap {
    /// Checks a signed map: signature first, then that it is this cluster's and consistent.
    ///
    /// # Errors
    /// [`EventError::Map`], [`EventError::Cluster`], [`EventError::Shape`].
    pub fn verify(
        signed: Signed<ShardMap>,
        cluster: ClusterId,
        map_key: &P256Public,
    ) -> Result<Self, EventError> {
        let map = verify_value(&signed, map_key, labels::SHARD_MAP, MAX_MAP).map_err(EventError::Map)?;
        map.check()?;
        if map.cluster == cluster { Ok(Self { signed, map }) } else { Err(EventError::Cluster) }
    }
}

fn newer_lineage(view: &View, known: &View) -> bool {
    match (&view.map, &known.map) {
        (Some(view), Some(known)) => view.map.lineage > known.map.lineage,
        _ => false,
    }
}

pub(crate) fn voter(row: Voter) -> Result<VoterEndpoint, IdError> {
    let Voter { node_id, replica_id, address, spki_hash } = row;
    Ok(VoterEndpoint {
        node: node_id.as_ref().try_into()?,
        replica: ReplicaId(replica_id),
        address,
        spki: spki_hash.as_ref().try_into()?,
    })
}

fn rotation(row: &KeyRotation) -> (GroupId, KeyGeneration) {
    let KeyRotation { group, above_generation } = row;
    (GroupId(*group), KeyGeneration(*above_generation))
}

fn global_role(row: &GlobalRole) -> Result<(AccountId, Role), EventError> {
    let GlobalRole { account_id, role } = row;
    let role = Role::try_from(*role).map_err(|_| EventError::Field("a global role is a role"))?;
    Ok((account_id.as_ref().try_into()?, role))
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{Lineage, MapEpoch};
    use holdfast_keys::{Signer as _, SoftSigner, sign_value};
    use proptest::prelude::*;

    use super::*;

    fn event(signer: &SoftSigner, cluster: ClusterId, index: u64, epoch: u64) -> WatchEvent {
        let map =
            ShardMap { cluster, lineage: Lineage(0), epoch: MapEpoch(epoch), groups: vec![], moves: vec![] };
        let signed = sign_value(signer, labels::SHARD_MAP, &map).unwrap();
        let row = SignedRow { bytes: signed.bytes.into(), signature: signed.signature.0.to_vec().into() };
        WatchEvent { index, map: Some(row), ..WatchEvent::default() }
    }

    #[test]
    fn a_view_never_goes_back() {
        let (signer, cluster) = (SoftSigner::generate().unwrap(), ClusterId::new([1; 16]));
        let key = signer.public();
        let first = read(event(&signer, cluster, 5, 2), cluster, &key, &View::default()).unwrap();
        assert!(matches!(read(event(&signer, cluster, 4, 2), cluster, &key, &first), Err(EventError::Older)));
        assert!(matches!(read(event(&signer, cluster, 6, 1), cluster, &key, &first), Err(EventError::Older)));
        assert_eq!(read(event(&signer, cluster, 6, 3), cluster, &key, &first).unwrap().index, 6);
    }

    #[test]
    fn a_map_of_another_key_or_cluster_is_refused() {
        let (signer, cluster) = (SoftSigner::generate().unwrap(), ClusterId::new([1; 16]));
        let forged = event(&SoftSigner::generate().unwrap(), cluster, 5, 2);
        assert!(matches!(read(forged, cluster, &signer.public(), &View::default()), Err(EventError::Map(_))));
        let foreign = event(&signer, ClusterId::new([2; 16]), 5, 2);
        assert!(matches!(
            read(foreign, cluster, &signer.public(), &View::default()),
            Err(EventError::Cluster)
        ));
    }

    proptest! {
        #[test]
        fn global_roles_are_roles_of_accounts_or_refused(row in prop::collection::vec(any::<u8>(), 0..20), role in -1..7_i32) {
            let read = global_role(&GlobalRole { account_id: row.clone().into(), role });
            prop_assert_eq!(read.is_ok(), row.len() == 16 && (1..=4).contains(&role));
        }

        #[test]
        fn arbitrary_rows_never_panic(row in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = bytes::Bytes::from(row);
            let event = WatchEvent { bans: vec![bytes.clone()], pcr_approvals: vec![bytes.clone()], ..WatchEvent::default() };
            let key = SoftSigner::generate().unwrap().public();
            let _ = read(event, ClusterId::new([0; 16]), &key, &View::default());
        }
    }
}
