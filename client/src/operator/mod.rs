//! An operator: what it signs, and what it sees.

mod act;
mod shards;
mod view;

use std::time::Duration;

use holdfast_certs::{Dialer, LiveIdentity, csr};
use holdfast_domain::{NodeId, UnixMs};
use holdfast_proto::registry::v1::{self as pb, operators_client::OperatorsClient};
use tonic::{Response, Status, Streaming, transport::Channel};

pub use act::{Signing, Submitted};
pub use shards::Standing;
pub use view::{
    AuditEvent, ClusterStatus, GroupRow, MemberStatus, NodeRow, PendingRow, PlannedMove, ReplicaRow, Shards,
    SlotMoveRow, TpmClassName,
};

use crate::{
    Error, Registries,
    client::past_half,
    config::{Context, RegistryAddress},
    credential::{OperatorCredential, OperatorDescription, chain_of},
    error::Answer,
    limits::{CALL_TIMEOUT, MAX_REPLY_BYTES},
    registries::Repeat,
    time::now,
};

/// An operator of one cluster.
pub struct Operator {
    registries: Registries,
    credential: OperatorCredential,
    identity: LiveIdentity,
}

impl Operator {
    /// Opens a context's operator, learns who the registry's members are, and renews its certificate when more than half of its life is over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(context: &Context, patience: Duration) -> Result<Self, Error> {
        let mut operator = Self::open_offline(context, patience)?;
        operator.registries.learn().await;
        let identity = operator.identity.current();
        if past_half(&identity, now()) && identity.not_after() > now() {
            // Still good for a while: the next start tries again.
            if let Err(error) = operator.renew().await {
                tracing::warn!(%error, "the operator's certificate could not be renewed");
            }
        }
        Ok(operator)
    }

    /// Opens a context's operator without talking to anyone.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open_offline(context: &Context, patience: Duration) -> Result<Self, Error> {
        let credential = OperatorCredential::open(&context.credential, Some(context.root_hash))?;
        Self::assemble(credential, &context.registries, patience)
    }

    fn assemble(
        credential: OperatorCredential,
        registries: &[RegistryAddress],
        patience: Duration,
    ) -> Result<Self, Error> {
        let identity = LiveIdentity::new(credential.identity()?);
        let dialer = Dialer::new(credential.trust().live(), Some(identity.clone()));
        let addresses = registries.iter().map(ToString::to_string).collect();
        let registries = Registries::remembering(credential.voters_file(), addresses, dialer, patience);
        Ok(Self { registries, credential, identity })
    }

    /// Who this is.
    pub fn description(&self) -> &OperatorDescription {
        self.credential.description()
    }

    /// End of the operator's certificate.
    pub fn not_after(&self) -> UnixMs {
        self.identity.current().not_after()
    }

    /// How many operators must sign what widens access, as the cluster began.
    pub fn threshold_at_genesis(&self) -> u8 {
        self.credential.trust().genesis().operator_threshold
    }

    /// A fresh certificate for the same key.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew(&mut self) -> Result<(), Error> {
        const ACTION: &str = "renew the operator's certificate";
        let csr = csr::create(self.credential.signer()).map_err(Error::signing)?;
        let call = |mut client: OperatorsClient<Channel>| {
            let request = pb::RenewOperatorRequest { csr: csr.clone().into() };
            async move { client.renew_operator(request).await }
        };
        let pb::RenewOperatorReply { chain, not_after_ms: _ } = self.call(ACTION, Repeat::Safe, call).await?;
        let bad = |_| Error::Reply { action: ACTION.to_owned(), what: "certificate chain" };
        let identity = self.credential.replace_chain(chain_of(&chain).map_err(bad)?)?;
        self.identity.replace(identity);
        Ok(())
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        const ACTION: &str = "ask for the cluster's status";
        let call =
            |mut client: OperatorsClient<Channel>| async move { client.status(pb::StatusRequest {}).await };
        let reply = self.call(ACTION, Repeat::Safe, call).await?;
        self.registries.take(reply.voters.iter().filter_map(|row| row.voter.clone()));
        ClusterStatus::read(reply, ACTION)
    }

    /// All members.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, Error> {
        const ACTION: &str = "list the nodes";
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.list_nodes(pb::ListNodesRequest {}).await
        };
        let pb::ListNodesReply { nodes } = self.call(ACTION, Repeat::Safe, call).await?;
        nodes.into_iter().map(|row| NodeRow::read(row, ACTION)).collect()
    }

    /// Joins that wait for an approval.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pending(&self) -> Result<Vec<PendingRow>, Error> {
        const ACTION: &str = "list the waiting joins";
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.list_pending(pb::ListPendingRequest {}).await
        };
        let pb::ListPendingReply { pending } = self.call(ACTION, Repeat::Safe, call).await?;
        pending.into_iter().map(|row| PendingRow::read(row, ACTION)).collect()
    }

    /// Makes a learner of the registry's group a voter.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn promote(&self, node: NodeId) -> Result<(), Error> {
        let call = |mut client: OperatorsClient<Channel>| {
            let request = pb::PromoteVoterRequest { node_id: node.as_bytes().to_vec().into() };
            async move { client.promote_voter(request).await }
        };
        let action = format!("promote node {node} to a voter");
        self.call(&action, Repeat::Safe, call).await.map(|pb::PromoteVoterReply {}| ())
    }

    /// The record of changes of trust from an index on, oldest first, given to `each` as it comes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn audit(&self, from: u64, mut each: impl FnMut(AuditEvent)) -> Result<(), Error> {
        const ACTION: &str = "read the audit record";
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.audit(pb::AuditRequest { from_index: from }).await
        };
        let events = self.call(ACTION, Repeat::Safe, call).await?;
        drain(events, ACTION, |event| {
            each(AuditEvent::read(event, ACTION)?);
            Ok(())
        })
        .await
    }

    /// A backup of the registry's state, given to `each` in parts.
    ///
    /// # Errors
    /// See [`Error`], and whatever `each` returns.
    pub async fn export(&self, mut each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        const ACTION: &str = "export the registry's state";
        let call =
            |mut client: OperatorsClient<Channel>| async move { client.export(pb::ExportRequest {}).await };
        let chunks = self.call(ACTION, Repeat::Safe, call).await?;
        drain(chunks, ACTION, |pb::ExportChunk { data }| each(&data)).await
    }

    async fn call<T, F, Fut>(&self, action: &str, repeat: Repeat, call: F) -> Result<T, Error>
    where
        F: Fn(OperatorsClient<Channel>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let call = |channel| {
            let reply = call(OperatorsClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES));
            async move { reply.await.map(Response::into_inner) }
        };
        self.registries.call(action, repeat, call).await
    }
}

/// Takes messages to the end of their stream; each must come in time.
async fn drain<T>(
    mut messages: Streaming<T>,
    action: &str,
    mut each: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let message = tokio::time::timeout(CALL_TIMEOUT, messages.message()).await;
        let silent = |_| Answer::Silent { last: "the stream stalled".to_owned(), sent: true };
        let message =
            message.map_err(silent).and_then(|message| message.map_err(|status| Answer::of(&status)));
        match message.map_err(|answer| answer.into_error(action, CALL_TIMEOUT))? {
            Some(message) => each(message)?,
            None => return Ok(()),
        }
    }
}
