//! What operators do and see.

mod lists;
pub(crate) mod shards;
mod status;

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::Stream;
use holdfast_certs::{SubjectKey, csr};
use holdfast_consensus::Group;
use holdfast_domain::{
    GroupId, NodeId, Reason, SignedAdmission, SpiffeSubject, admission::MAX_ADMISSION, codec,
};
use holdfast_keys::P256Public;
use holdfast_proto::registry::v1 as pb;
use holdfast_proto::registry::v1::{
    AuditEvent, AuditRequest, CreateGroupsReply, CreateGroupsRequest, ExportChunk, ExportRequest,
    ListGroupsReply, ListGroupsRequest, ListNodesReply, ListNodesRequest, ListPendingReply,
    ListPendingRequest, PromoteVoterReply, PromoteVoterRequest, RenewOperatorReply, RenewOperatorRequest,
    StatusReply, StatusRequest, SubmitReply, SubmitRequest, operators_server::Operators,
};
use holdfast_registry_state::{Act, VoterState};
use holdfast_sys_core::{Caller, Refusal};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    authority::Leaf,
    core::{Committed, Core},
    limits::{EXPORT_CHUNK, EXPORT_QUEUE, PROMOTION_PATIENCE},
    services::wire,
};

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Signatures beside an admission.
const MAX_SIGNED_ADMISSION: usize = MAX_ADMISSION + 16 * 1024;

/// The service.
pub(crate) struct OperatorsService {
    core: Arc<Core>,
    group: Group,
}

impl OperatorsService {
    /// Serves from a member's state; `group` tells who leads.
    pub(crate) const fn new(core: Arc<Core>, group: Group) -> Self {
        Self { core, group }
    }
}

impl OperatorsService {
    /// A fresh leaf for the very key that operators signed for.
    fn leaf(&self, by: &SpiffeSubject, key: &SubjectKey) -> Result<Leaf, Refusal> {
        let secrets = self.core.issuer()?;
        let not_permitted = || Refusal::new(Reason::NotPermitted);
        let SpiffeSubject::Operator(name) = by else { return Err(not_permitted()) };
        let own = self.core.state().operator(name).map(|row| row.key).ok_or_else(not_permitted)?;
        let own =
            P256Public::from_point(&own).map_err(|error| Refusal::new(Reason::Internal).because(error))?;
        if key.spki_hash() != own.spki_hash() {
            return Err(Refusal::new(Reason::CertificateRequest).because("another key than the operator's"));
        }
        let issued = secrets.authorities.operator(name.clone(), own.into(), self.core.now());
        issued.map_err(|error| Refusal::new(Reason::Internal).because(error))
    }
}

/// The operator who calls.
fn operator_of<T>(request: &Request<T>) -> Result<SpiffeSubject, Status> {
    match Caller::of(request)? {
        Caller::Operator(name) => Ok(SpiffeSubject::Operator(name.clone())),
        _ => Err(Refusal::new(Reason::NotPermitted).into()),
    }
}

#[tonic::async_trait]
impl Operators for OperatorsService {
    type AuditStream = Replies<AuditEvent>;
    type ExportStream = Replies<ExportChunk>;

    async fn move_replica(
        &self,
        request: Request<pb::MoveReplicaRequest>,
    ) -> Result<Response<pb::MoveReplicaReply>, Status> {
        let by = operator_of(&request)?;
        let pb::MoveReplicaRequest { group, from_node, target_node } = request.into_inner();
        let map_epoch = self.core.move_replica(&by, GroupId(group), &from_node, &target_node).await?;
        Ok(Response::new(pb::MoveReplicaReply { map_epoch }))
    }

    async fn cancel_move(
        &self,
        request: Request<pb::CancelMoveRequest>,
    ) -> Result<Response<pb::CancelMoveReply>, Status> {
        let by = operator_of(&request)?;
        let group = GroupId(request.into_inner().group);
        let map_epoch = self.core.cancel_move(&by, group).await?;
        Ok(Response::new(pb::CancelMoveReply { map_epoch }))
    }

    async fn set_standing(
        &self,
        request: Request<pb::SetStandingRequest>,
    ) -> Result<Response<pb::SetStandingReply>, Status> {
        let by = operator_of(&request)?;
        let replicas = self.core.set_standing(&by, request.get_ref()).await?;
        Ok(Response::new(pb::SetStandingReply { replicas }))
    }

    async fn rebalance(
        &self,
        request: Request<pb::RebalanceRequest>,
    ) -> Result<Response<pb::RebalanceReply>, Status> {
        let by = operator_of(&request)?;
        let moves = self.core.rebalance(&by, request.into_inner().dry_run).await?;
        Ok(Response::new(pb::RebalanceReply { moves }))
    }

    async fn split_group(
        &self,
        request: Request<pb::SplitGroupRequest>,
    ) -> Result<Response<pb::SplitGroupReply>, Status> {
        let by = operator_of(&request)?;
        Ok(Response::new(self.core.split_group(&by, request.into_inner()).await?))
    }

    async fn merge_groups(
        &self,
        request: Request<pb::MergeGroupsRequest>,
    ) -> Result<Response<pb::MergeGroupsReply>, Status> {
        let by = operator_of(&request)?;
        let pb::MergeGroupsRequest { from, to } = request.into_inner();
        let map_epoch = self.core.merge_groups(&by, GroupId(from), GroupId(to)).await?;
        Ok(Response::new(pb::MergeGroupsReply { map_epoch }))
    }

    async fn give_up_slot_move(
        &self,
        request: Request<pb::GiveUpSlotMoveRequest>,
    ) -> Result<Response<pb::GiveUpSlotMoveReply>, Status> {
        let by = operator_of(&request)?;
        let map_epoch = self.core.give_up_slot_move(&by, GroupId(request.into_inner().from)).await?;
        Ok(Response::new(pb::GiveUpSlotMoveReply { map_epoch }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        let by = operator_of(&request)?;
        let admission: SignedAdmission =
            codec::decode(&request.into_inner().admission, MAX_SIGNED_ADMISSION).map_err(wire::malformed)?;
        let Committed { index, outcome } = self.core.commit(by, Act::Admit(admission)).await?;
        outcome.into_result().map_err(Refusal::new)?;
        Ok(Response::new(SubmitReply { index }))
    }

    async fn renew_operator(
        &self,
        request: Request<RenewOperatorRequest>,
    ) -> Result<Response<RenewOperatorReply>, Status> {
        let by = operator_of(&request)?;
        let csr = csr::parse(&request.into_inner().csr)
            .map_err(|error| Refusal::new(Reason::CertificateRequest).because(error))?;
        self.core.read_index().await?;
        let leaf = self.leaf(&by, csr.key())?;
        Ok(Response::new(RenewOperatorReply {
            chain: leaf.chain.into_ders().into_iter().map(Bytes::from).collect(),
            not_after_ms: leaf.not_after.0,
        }))
    }

    async fn create_groups(
        &self,
        request: Request<CreateGroupsRequest>,
    ) -> Result<Response<CreateGroupsReply>, Status> {
        let by = operator_of(&request)?;
        let CreateGroupsRequest { count, replicas } = request.into_inner();
        let groups = self.core.create_groups(&by, count, replicas).await?;
        Ok(Response::new(CreateGroupsReply { groups }))
    }

    async fn promote_voter(
        &self,
        request: Request<PromoteVoterRequest>,
    ) -> Result<Response<PromoteVoterReply>, Status> {
        let by = operator_of(&request)?;
        let node: NodeId = wire::id(&request.into_inner().node_id, "node id")?;
        self.core.propose(by, Act::PromoteVoter(node)).await?;
        let mut changes = self.core.applied();
        let votes = || {
            let state = self.core.state();
            state.voters().any(|voter| voter.endpoint.node == node && voter.state == VoterState::Voter)
        };
        let done = async { while !votes() && changes.changed().await.is_ok() {} };
        let late = || Refusal::new(Reason::NotReady).because("the learner has not caught up yet");
        tokio::time::timeout(PROMOTION_PATIENCE, done).await.map_err(|_| late())?;
        Ok(Response::new(PromoteVoterReply {}))
    }

    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(status::reply(&self.core, &self.group.status())?))
    }

    async fn list_nodes(
        &self,
        _request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesReply>, Status> {
        self.core.read_index().await?;
        Ok(Response::new(lists::nodes(&self.core)))
    }

    async fn list_pending(
        &self,
        _request: Request<ListPendingRequest>,
    ) -> Result<Response<ListPendingReply>, Status> {
        self.core.read_index().await?;
        Ok(Response::new(lists::pending(&self.core.state())))
    }

    async fn list_groups(
        &self,
        _request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsReply>, Status> {
        self.core.read_index().await?;
        Ok(Response::new(lists::shards(&self.core)))
    }

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<Self::AuditStream>, Status> {
        let from = request.into_inner().from_index;
        self.core.read_index().await?;
        let events = lists::audit(&self.core.state(), from);
        Ok(Response::new(Box::pin(tokio_stream::iter(events.into_iter().map(Ok)))))
    }

    async fn export(&self, _request: Request<ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        self.core.read_index().await?;
        let bytes = self.core.state().snapshot();
        let bytes = Bytes::from(bytes.map_err(|error| Refusal::new(Reason::Internal).because(error))?);
        let (sender, receiver) = tokio::sync::mpsc::channel(EXPORT_QUEUE);
        tokio::spawn(async move {
            let mut rest = bytes;
            while !rest.is_empty() {
                let data = rest.split_to(rest.len().min(EXPORT_CHUNK));
                if sender.send(Ok(ExportChunk { data })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
