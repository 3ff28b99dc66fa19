//! What a member is given: leaves for its two keys, what to trust and, to a member of the registry, the registry's key.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_certs::{CertChain, IssueError};
use holdfast_domain::{KeySubject, NodeId, NodeRole, Reason, ReplicaId, Signed, WrapRow, WrapTarget, codec};
use holdfast_keys::{labels, sign};
use holdfast_proto::registry::v1::{Grant, SignedRow, join_reply};
use holdfast_registry_state::{Act, Recipient};
use holdfast_tpm_verify::{join::AttestedNode, wrap};

use super::{Shared, rejections::Rejected};
use crate::{
    core::{Core, Secrets},
    services::wire,
};

impl Shared {
    /// The grant of a member whose join or renewal is committed. `fresh` keys need a fresh wrap.
    pub(super) async fn grant(
        &self,
        attested: &Arc<AttestedNode>,
        replica: Option<ReplicaId>,
        fresh: bool,
    ) -> Result<join_reply::Message, Rejected> {
        let secrets = self.core.issuer()?;
        let (role, node) = (attested.role(), attested.node_id());
        let crk_wraps = match role {
            NodeRole::Node => Vec::new(),
            NodeRole::Registry => self.crk_wraps(attested, &secrets, fresh).await?,
        };
        let now = self.core.now();
        let issue = |key| secrets.authorities.machine(role, node, key, now).map_err(not_issued);
        let (tls, listener) = (issue(*attested.tls().key())?, issue(*attested.listener())?);
        let state = self.core.state();
        let approvals = state.approvals(role).map(|approval| codec::encode(approval).map(Bytes::from));
        let sequence = state.founded().map_or(0, |founded| founded.bundle_sequence);
        let grant = Grant {
            node_id: node.as_bytes().to_vec().into(),
            tls_chain: chain(tls.chain, &self.core),
            listener_chain: chain(listener.chain, &self.core),
            bundle: Some(self.core.cluster().bundle(sequence)),
            pcr_approvals: approvals.collect::<Result<_, _>>().map_err(internal)?,
            renew_after_ms: tls.renew_after.0,
            voters: state.voters().map(|voter| wire::voter(&voter.endpoint)).collect(),
            replica_id: replica.map_or(0, |replica| replica.0),
            crk_wraps,
        };
        Ok(join_reply::Message::Grant(grant))
    }

    /// The registry's key for a member of the registry; wrapped now if its TPM has none that opens.
    async fn crk_wraps(
        &self,
        attested: &Arc<AttestedNode>,
        secrets: &Arc<Secrets>,
        fresh: bool,
    ) -> Result<Vec<SignedRow>, Rejected> {
        let node = attested.node_id();
        if fresh || !has_wrap(&self.core, node, secrets) {
            let row = self.wrap_crk(attested, secrets).await?;
            self.core.propose(self.core.myself(), Act::PutWraps(vec![row])).await?;
        }
        let wraps = self.core.state().wraps_for(KeySubject::Crk, node);
        Ok(wraps.iter().map(wire::signed_row).collect())
    }

    /// Wraps to the TPM that was just verified, and signs with this voter's own: both off the async threads.
    async fn wrap_crk(
        &self,
        attested: &Arc<AttestedNode>,
        secrets: &Arc<Secrets>,
    ) -> Result<Signed<WrapRow>, Rejected> {
        let cluster = self.core.cluster();
        let epoch = self.core.state().policy_epoch();
        let policy = cluster.policy_key().sealing_policy(cluster.id(), NodeRole::Registry, epoch);
        let (id, by, signer) = (cluster.id(), self.core.me(), self.core.signer());
        let (attested, secrets) = (Arc::clone(attested), Arc::clone(secrets));
        let made = tokio::task::spawn_blocking(move || {
            let target = attested.wrap_target();
            let blob =
                wrap::wrap_key(&target, &policy, secrets.crk.expose_for_wrapping()).map_err(internal)?;
            let srk_name = attested.srk().name().as_bytes().to_vec();
            let row = WrapRow {
                cluster: id,
                subject: KeySubject::Crk,
                generation: secrets.generation,
                target: WrapTarget::Tpm { node: attested.node_id(), srk_name, blob },
                kcv: secrets.crk.kcv(),
                by,
            };
            sign::sign_value(&*signer, labels::WRAP_ROW, &row).map_err(internal)
        });
        made.await.map_err(|_| Rejected::of(Reason::NotReady, "stopping"))?
    }
}

fn has_wrap(core: &Core, node: NodeId, secrets: &Secrets) -> bool {
    let state = core.state();
    state
        .wraps_of(KeySubject::Crk, secrets.generation)
        .any(|(recipient, _)| recipient == Recipient::Node(node))
}

/// Leaf, authority, root.
fn chain(chain: CertChain, core: &Core) -> Vec<Bytes> {
    let root = core.cluster().root().der().to_vec();
    chain.into_ders().into_iter().chain([root]).map(Bytes::from).collect()
}

fn not_issued(error: IssueError) -> Rejected {
    internal(error)
}

fn internal(error: impl std::error::Error) -> Rejected {
    Rejected::of(Reason::Internal, error)
}
