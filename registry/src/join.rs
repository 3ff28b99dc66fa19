//! Making a machine a member of an existing registry.

use std::path::Path;

use holdfast_domain::{
    KeySubject, NodeId, NodeRole, PendingId, ReplicaId, RootHash, WrapRow, WrapTarget, codec, wrap::MAX_WRAP,
};
use holdfast_enrol::{
    attested::Granted,
    folder::{Folder, FolderError},
    machine::{Machine, MachineError},
    member::{Enrolment, MemberError, enrol},
};
use holdfast_keys::{Crk, Secret32};
use holdfast_tpm_node::TpmError;

use crate::run::CRK;

/// How to join.
pub struct JoinOptions<'a> {
    /// The data folder, to be made.
    pub data: &'a Path,
    /// TCTI of the TPM.
    pub tpm: &'a str,
    /// Socket to listen on.
    pub listen: &'a str,
    /// Where others reach it.
    pub advertise: &'a str,
    /// Registry members to ask.
    pub registries: &'a [String],
    /// The root to pin.
    pub root: RootHash,
    /// A one-time ticket.
    pub ticket: Option<&'a Secret32>,
    /// EK intermediates, DER.
    pub ek_chain: Vec<Vec<u8>>,
    /// Wait for approval, and tell which join waits.
    pub wait: Option<&'a (dyn Fn(PendingId) + Sync)>,
}

/// A new member.
#[derive(Debug)]
pub struct JoinedRegistry {
    /// Its id.
    pub node: NodeId,
    /// Its Raft id.
    pub replica: ReplicaId,
}

/// Why a machine did not become a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinRegistryError {
    /// The join.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The TPM or the sealed keys.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No Raft id.
    #[error("the registry granted no replica id")]
    NoReplica,
    /// No wrap for us, or one that is not what it says.
    #[error("wrap_mismatch: the registry granted no key that opens as it claims")]
    Wrap,
    /// The TPM did not open the key.
    #[error("the TPM does not open the registry's key")]
    Open(#[source] TpmError),
}

/// Joins, and keeps the registry's key sealed to this machine.
///
/// # Errors
/// See [`JoinRegistryError`].
pub async fn join(options: JoinOptions<'_>) -> Result<JoinedRegistry, JoinRegistryError> {
    let JoinOptions { data, tpm, listen, advertise, registries, root, ticket, ek_chain, wait } = options;
    let role = NodeRole::Registry;
    let enrolment =
        Enrolment { data, role, tpm, listen, advertise, registries, zone: "", root, ticket, ek_chain, wait };
    let (folder, machine, granted) = enrol(enrolment).await?;
    let replica = granted.replica.ok_or(JoinRegistryError::NoReplica)?;
    keep_key(&folder, &machine, &granted).await?;
    Ok(JoinedRegistry { node: granted.node, replica })
}

async fn keep_key(folder: &Folder, machine: &Machine, granted: &Granted) -> Result<(), JoinRegistryError> {
    let rows = granted.crk_wraps.iter().filter_map(|row| codec::decode::<WrapRow>(&row.bytes, MAX_WRAP).ok());
    let newest = rows.filter(|row| row.subject == KeySubject::Crk).max_by_key(|row| row.generation);
    let row = newest.ok_or(JoinRegistryError::Wrap)?;
    let blob = match row.target {
        WrapTarget::Tpm { node, blob, .. } if node == granted.node => blob,
        WrapTarget::Tpm { .. } | WrapTarget::Recovery { .. } => return Err(JoinRegistryError::Wrap),
    };
    let proof = machine.proof(&granted.genesis, NodeRole::Registry, &granted.approvals).await?;
    let (secret, sealed) = machine.tpm().unwrap_key(blob, proof).await.map_err(JoinRegistryError::Open)?;
    if Crk::from_secret(secret).kcv() != row.kcv {
        return Err(JoinRegistryError::Wrap);
    }
    Ok(folder.put_sealed(CRK, &sealed)?)
}
