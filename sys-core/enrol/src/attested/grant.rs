//! What the registry grants, checked before anything of it is used.

use bytes::Bytes;
use holdfast_certs::{
    BundleError, CertChain, ChainShapeError, GenesisError, Identity, IdentityError, RootCertificate,
    TrustBundle,
};
use holdfast_domain::{
    Genesis, IdError, NodeId, PcrApproval, ReplicaId, Signature64, Signed, UnixMs, VoterEndpoint, WrapRow,
    codec::{self, CodecError},
};
use holdfast_proto::registry::v1::{Grant, SignedRow};

use super::JoinRequest;
use crate::watch::voter;

/// Largest encoded approval.
const MAX_APPROVAL: usize = 4096;

/// Why a grant is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Something that every grant has is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A signature has another length.
    #[error("a signature has another length than 64 bytes")]
    Signature,
    /// An identifier has the wrong length.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The registry calls this machine by another id than its TPM does.
    #[error("granted to node {granted}, and this machine is {own}")]
    Node {
        /// In the grant.
        granted: NodeId,
        /// By the TPM.
        own: NodeId,
    },
    /// Certificates.
    #[error(transparent)]
    Chain(#[from] ChainShapeError),
    /// A certificate is for another key.
    #[error("a granted certificate")]
    Identity(#[from] IdentityError),
    /// The bundle.
    #[error("the trust bundle")]
    Bundle(#[from] BundleError),
    /// The genesis record.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A row does not decode.
    #[error("a granted row")]
    Row(#[from] CodecError),
}

/// Everything that a member needs.
#[derive(Debug)]
pub struct Granted {
    /// Its id.
    pub node: NodeId,
    /// The genesis record, checked against the pinned root.
    pub genesis: Genesis,
    /// The same as signed.
    pub signed_genesis: Signed<Genesis>,
    /// What to trust from now on.
    pub bundle: TrustBundle,
    /// For the TPM's TLS key.
    pub tls_chain: CertChain,
    /// For the listener key.
    pub listener_chain: CertChain,
    /// Boot states that operators approved for its role.
    pub approvals: Vec<PcrApproval>,
    /// The registry's members.
    pub voters: Vec<VoterEndpoint>,
    /// When to renew.
    pub renew_after: UnixMs,
    /// Its Raft id; registry members only.
    pub replica: Option<ReplicaId>,
    /// The registry's key wrapped to this machine; registry members only.
    pub crk_wraps: Vec<Signed<WrapRow>>,
}

impl Granted {
    pub(super) fn check(
        grant: Grant,
        request: &JoinRequest<'_>,
        root: &RootCertificate,
    ) -> Result<Self, GrantError> {
        let Grant {
            node_id,
            tls_chain,
            listener_chain,
            bundle,
            pcr_approvals,
            renew_after_ms,
            voters,
            replica_id,
            crk_wraps,
        } = grant;
        let node = NodeId::try_from(node_id.as_ref())?;
        let own = request.machine.node_id(root.cluster());
        if node != own {
            return Err(GrantError::Node { granted: node, own });
        }
        let bundle = bundle.ok_or(GrantError::Missing("the trust bundle"))?;
        let signed_genesis = signed(bundle.genesis.ok_or(GrantError::Missing("the genesis record"))?)?;
        let genesis = root.verify_genesis(&signed_genesis)?;
        let listener_chain = chain(listener_chain)?;
        Identity::from_soft(listener_chain.clone(), request.listener)?;
        let decode = |row: &Bytes| codec::decode(row, MAX_APPROVAL);
        Ok(Self {
            node,
            genesis,
            signed_genesis,
            bundle: TrustBundle::of_root(root.clone(), bundle.sequence),
            tls_chain: chain(tls_chain)?,
            listener_chain,
            approvals: pcr_approvals.iter().map(decode).collect::<Result<_, _>>()?,
            voters: voters.into_iter().map(voter).collect::<Result<_, _>>()?,
            renew_after: UnixMs(renew_after_ms),
            replica: (replica_id != 0).then_some(ReplicaId(replica_id)),
            crk_wraps: crk_wraps.into_iter().map(signed).collect::<Result<_, _>>()?,
        })
    }
}

/// Leaf and authority; the root that may follow is pinned already.
fn chain(ders: Vec<Bytes>) -> Result<CertChain, ChainShapeError> {
    CertChain::from_ders(ders.into_iter().take(2).map(Vec::from).collect())
}

fn signed<T>(row: SignedRow) -> Result<Signed<T>, GrantError> {
    let signature = row.signature.as_ref().try_into().map_err(|_| GrantError::Signature)?;
    Ok(Signed::from_parts(row.bytes.to_vec(), Signature64(signature)))
}
