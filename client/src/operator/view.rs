//! What operators see, parsed from the wire.

mod shards;

use std::time::Duration;

use holdfast_domain::{
    ClusterId, EkHash, MapEpoch, NodeId, NodeRole, PendingId, PolicyEpoch, ReplicaId, RootHash, Sha256Hash,
    TrustDomain, UnixMs,
};
use holdfast_proto::registry::v1 as pb;

use crate::Error;
pub use shards::{GroupRow, PlannedMove, ReplicaRow, Shards, SlotMoveRow};

/// How the cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
    /// The pin of its root.
    pub root_hash: RootHash,
    /// Who leads the registry; none during an election.
    pub leader: Option<NodeId>,
    /// Term of the registry's group.
    pub term: u64,
    /// Log index that the answering member has applied.
    pub applied_index: u64,
    /// Members of the registry's group.
    pub members: Vec<MemberStatus>,
    /// Epoch of the shard map.
    pub map_epoch: MapEpoch,
    /// Shard nodes.
    pub nodes: u32,
    /// Shard groups.
    pub groups: u32,
    /// Shard groups that serve.
    pub groups_ready: u32,
    /// Registered clients.
    pub clients: u64,
    /// Banned subjects.
    pub bans: u32,
    /// Joins that wait for an approval.
    pub pending: u32,
    /// PCR approvals below it are void.
    pub policy_epoch: PolicyEpoch,
    /// Number of changes of the operators since the cluster began; each request names it.
    pub operator_set: u32,
}

/// One member of the registry's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The machine.
    pub node: NodeId,
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Where it listens.
    pub address: String,
    /// Whether it votes; otherwise it learns.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Log index that it holds, as far as the leader knows; 0 when unknown.
    pub matched_index: u64,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its id.
    pub node: NodeId,
    /// Its role.
    pub role: NodeRole,
    /// Where it listens.
    pub address: String,
    /// Its TPM.
    pub ek: EkHash,
    /// What stands behind the TPM's word.
    pub tpm_class: TpmClassName,
    /// How it was admitted.
    pub admitted_by: String,
    /// When it joined.
    pub joined: UnixMs,
    /// When it last proved its state.
    pub renewed: UnixMs,
    /// Whether it is banned.
    pub banned: bool,
    /// Replicas on it.
    pub replicas: u32,
    /// What fails with it: a rack, a room, a power line. Empty when it said none.
    pub zone: String,
    /// "serving", "cordoned", "draining" or "removed".
    pub standing: String,
    /// Whether it was not heard of for longer than the grace period.
    pub lost: bool,
    /// How long ago it was heard of; `None` if it never was.
    pub heard: Option<Duration>,
    /// Bytes that it may still store.
    pub free_bytes: u64,
    /// Bytes that its replicas take.
    pub stored_bytes: u64,
    /// Groups that it leads.
    pub leads: u32,
}

/// The class of a TPM as the registry names it, for people: a newer registry may know more of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmClassName(pub String);

/// A join that waits for an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// Its id.
    pub pending: PendingId,
    /// The TPM.
    pub ek: EkHash,
    /// The role it asks for.
    pub role: NodeRole,
    /// Where it will listen.
    pub address: String,
    /// Since when it waits.
    pub since: UnixMs,
}

/// One change of trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Log index.
    pub index: u64,
    /// When.
    pub time: UnixMs,
    /// What, for people.
    pub what: String,
    /// Hash of this event and all before it.
    pub hash: Sha256Hash,
}

impl ClusterStatus {
    pub(super) fn read(reply: pb::StatusReply, action: &str) -> Result<Self, Error> {
        let bad = |what| bad(action, what);
        let leader = if reply.leader.is_empty() { None } else { Some(id(&reply.leader, action, "leader")?) };
        Ok(Self {
            cluster: id(&reply.cluster_id, action, "cluster")?,
            trust_domain: reply.trust_domain.parse().map_err(|_| bad("trust domain"))?,
            root_hash: id(&reply.root_hash, action, "root hash")?,
            leader,
            term: reply.term,
            applied_index: reply.applied_index,
            members: reply
                .voters
                .into_iter()
                .map(|row| MemberStatus::read(row, action))
                .collect::<Result<_, _>>()?,
            map_epoch: MapEpoch(reply.map_epoch),
            nodes: reply.nodes,
            groups: reply.groups,
            groups_ready: reply.groups_ready,
            clients: reply.clients,
            bans: reply.bans,
            pending: reply.pending,
            policy_epoch: PolicyEpoch(reply.policy_epoch),
            operator_set: reply.operator_set,
        })
    }
}

impl MemberStatus {
    fn read(row: pb::VoterStatus, action: &str) -> Result<Self, Error> {
        let pb::VoterStatus { voter, is_voter, is_leader, matched_index } = row;
        let pb::Voter { node_id, replica_id, address, spki_hash: _ } =
            voter.ok_or_else(|| bad(action, "registry member"))?;
        Ok(Self {
            node: id(&node_id, action, "node id")?,
            replica: ReplicaId(replica_id),
            address: clean(address),
            is_voter,
            is_leader,
            matched_index,
        })
    }
}

impl NodeRow {
    pub(super) fn read(row: pb::NodeRow, action: &str) -> Result<Self, Error> {
        let pb::NodeRow {
            node_id,
            role,
            address,
            ek_hash,
            tpm_class,
            admitted_by,
            joined_ms,
            renewed_ms,
            banned,
            replicas,
            zone,
            standing,
            lost,
            heard_ms_ago,
            free_bytes,
            stored_bytes,
            leads,
        } = row;
        Ok(Self {
            node: id(&node_id, action, "node id")?,
            role: role.parse().map_err(|_| bad(action, "role"))?,
            address: clean(address),
            ek: id(&ek_hash, action, "EK hash")?,
            tpm_class: TpmClassName(clean(tpm_class)),
            admitted_by: clean(admitted_by),
            joined: UnixMs(joined_ms),
            renewed: UnixMs(renewed_ms),
            banned,
            replicas,
            zone: clean(zone),
            standing: clean(standing),
            lost,
            heard: heard(heard_ms_ago),
            free_bytes,
            stored_bytes,
            leads,
        })
    }
}

impl PendingRow {
    pub(super) fn read(row: pb::PendingRow, action: &str) -> Result<Self, Error> {
        let pb::PendingRow { pending_id, ek_hash, role, address, since_ms } = row;
        Ok(Self {
            pending: id(&pending_id, action, "id of a waiting join")?,
            ek: id(&ek_hash, action, "EK hash")?,
            role: role.parse().map_err(|_| bad(action, "role"))?,
            address: clean(address),
            since: UnixMs(since_ms),
        })
    }
}

impl AuditEvent {
    pub(super) fn read(event: pb::AuditEvent, action: &str) -> Result<Self, Error> {
        let pb::AuditEvent { index, time_ms, what, hash } = event;
        Ok(Self { index, time: UnixMs(time_ms), what: clean(what), hash: id(&hash, action, "hash")? })
    }
}

fn id<'a, T: TryFrom<&'a [u8]>>(bytes: &'a [u8], action: &str, what: &'static str) -> Result<T, Error> {
    T::try_from(bytes).map_err(|_| bad(action, what))
}

fn bad(action: &str, what: &'static str) -> Error {
    Error::Reply { action: action.to_owned(), what }
}

/// 0 is never.
fn heard(ms_ago: u64) -> Option<Duration> {
    (ms_ago > 0).then(|| Duration::from_millis(ms_ago))
}

/// Text from elsewhere, harmless to a terminal: joining machines write some of it.
fn clean(text: String) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text }
}
