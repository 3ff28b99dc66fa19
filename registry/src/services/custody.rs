//! Keys in wrapped form: stored for machines by machines, and the evidence that they check before they wrap.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::{
    GroupId, KeySubject, NodeId, NodeRole, Reason, ReplicaId, Signed, SignedAdmission, UnixMs, WrapRow,
    codec, wrap::MAX_WRAP,
};
use holdfast_proto::registry::v1::{
    AdmitDeviceReply, AdmitDeviceRequest, GetEvidenceReply, GetEvidenceRequest, GetWrapsReply,
    GetWrapsRequest, PutWrapsReply, PutWrapsRequest, ReplicaReport, ReportReply, ReportRequest, SignedRow,
    custody_server::Custody,
};
use holdfast_registry_state::{Act, AdmitDevice, Applied, DeviceChange, State, plan};
use holdfast_sys_core::Refusal;
use tonic::{Request, Response, Status};

use super::{limits, machine, signed, wire};
use crate::{authority::machine_subject, core::Core};

/// The service.
pub struct CustodyService {
    core: Arc<Core>,
}

impl CustodyService {
    /// Serves from a voter's state.
    pub const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    async fn put(&self, role: NodeRole, node: NodeId, rows: Vec<SignedRow>) -> Result<(), Refusal> {
        if rows.is_empty() || rows.len() > limits::MAX_WRAPS {
            return Err(wire::malformed("number of wraps"));
        }
        let rows: Vec<Signed<WrapRow>> =
            rows.into_iter().map(|row| wire::read_signed(row, MAX_WRAP)).collect::<Result<_, _>>()?;
        for row in &rows {
            // Signature and everything else is checked by the state; only it knows whose request this is not.
            let claimed: WrapRow = codec::decode(&row.bytes, MAX_WRAP).map_err(wire::malformed)?;
            if claimed.by != node {
                return Err(Refusal::new(Reason::NotPermitted).because("a wrap that another machine made"));
            }
        }
        self.core.propose(machine_subject(role, node), Act::PutWraps(rows)).await.map(|_| ())
    }

    async fn wraps(&self, role: NodeRole, node: NodeId, group: GroupId) -> Result<Vec<SignedRow>, Refusal> {
        let read = || entitled_wraps(&self.core.state(), role, node, group);
        let known = read();
        if !known.is_empty() {
            return Ok(known);
        }
        self.core.read_index().await?;
        Ok(read())
    }

    async fn evidence(&self, node: NodeId) -> Result<GetEvidenceReply, Refusal> {
        if self.core.state().member(node).is_none() {
            self.core.read_index().await?;
        }
        let state = self.core.state();
        let member = state.member(node).ok_or_else(|| Refusal::new(Reason::NotFound))?;
        // The founder has none: the genesis record, signed by the root, names it.
        let admission = member.admission.as_ref().map(encoded).transpose()?.unwrap_or_default();
        let chain = state.operator_chain().iter().map(|change| encoded(change).map(Bytes::from));
        Ok(GetEvidenceReply {
            evidence: member.evidence.clone().into(),
            admission: admission.into(),
            operator_chain: chain.collect::<Result<_, _>>()?,
        })
    }

    /// Only the state knows which node may speak for which login, and which login for which account.
    async fn admit(&self, role: NodeRole, node: NodeId, request: AdmitDeviceRequest) -> Result<(), Refusal> {
        let AdmitDeviceRequest { account_id, client_id, key, login_id, expires_ms } = request;
        let admit = AdmitDevice {
            account: wire::id(&account_id, "account id")?,
            client: wire::id(&client_id, "client id")?,
            key: *signed::public(&key)?.as_bytes(),
            login: wire::id(&login_id, "login id")?,
            expires: UnixMs(expires_ms),
        };
        let act = Act::Device(DeviceChange::Admit(admit));
        self.core.propose(machine_subject(role, node), act).await.map(|_| ())
    }

    async fn report(
        &self,
        node: NodeId,
        group: GroupId,
        replica: ReplicaId,
        report: ReplicaReport,
    ) -> Result<(), Refusal> {
        let by = machine_subject(NodeRole::Node, node);
        let result = match report {
            ReplicaReport::Founded => {
                self.core.change_map(&by, |state| plan::plan_founded(state, group, replica)).await
            }
            ReplicaReport::HandedOver => {
                self.core.change_map(&by, |state| plan::plan_handed_over(state, group, replica)).await
            }
            ReplicaReport::Withdrawn => {
                self.core.change_map(&by, |state| plan::plan_withdrawn(state, group, replica)).await
            }
            ReplicaReport::Dropped => self.core.propose(by, Act::Dropped { group, replica }).await,
            _ => Err(wire::malformed("a report says what happened")),
        };
        match result {
            // Told again by a node that did not hear the answer.
            Err(refusal) if is_known(&self.core.state(), node, group, replica, report) => {
                tracing::debug!(%group, %replica, %refusal, "reported again");
                Ok(())
            }
            other => other.map(|_: Applied| ()),
        }
    }
}

fn encoded(admission: &SignedAdmission) -> Result<Vec<u8>, Refusal> {
    codec::encode(admission).map_err(|error| Refusal::new(Reason::Internal).because(error))
}

/// The wraps that a machine can open, of a key that it is to have.
fn entitled_wraps(state: &State, role: NodeRole, node: NodeId, group: GroupId) -> Vec<SignedRow> {
    let subject = match role {
        NodeRole::Registry if group == GroupId::REGISTRY => KeySubject::Crk,
        NodeRole::Node if holds_replica(state, node, group) => KeySubject::Dmk(group),
        NodeRole::Registry | NodeRole::Node => return Vec::new(),
    };
    state.wraps_for(subject, node).iter().map(wire::signed_row).collect()
}

fn holds_replica(state: &State, node: NodeId, group: GroupId) -> bool {
    let group = state.map().and_then(|(_, map)| map.group(group));
    group.is_some_and(|group| group.replicas.iter().any(|replica| replica.node == node))
}

/// Whether the state shows already what a node reports.
fn is_known(state: &State, node: NodeId, group: GroupId, replica: ReplicaId, report: ReplicaReport) -> bool {
    use holdfast_domain::ReplicaState;
    let Some(group) = state.map().and_then(|(_, map)| map.group(group)) else { return false };
    let here = group.replicas.iter().find(|known| known.replica == replica);
    let dropping = state.dropping().any(|(of, known, _)| (of, known) == (group.group, replica));
    match report {
        ReplicaReport::Founded => {
            here.is_some_and(|here| here.node == node && here.state == ReplicaState::Voter)
        }
        ReplicaReport::HandedOver => here.is_none() && dropping,
        ReplicaReport::Withdrawn => {
            let moving = group.replicas.iter().any(|known| known.state == ReplicaState::Learner);
            !moving && here.is_some_and(|here| here.node == node && here.state == ReplicaState::Voter)
        }
        ReplicaReport::Dropped => here.is_none() && !dropping,
        _ => false,
    }
}

#[tonic::async_trait]
impl Custody for CustodyService {
    async fn put_wraps(&self, request: Request<PutWrapsRequest>) -> Result<Response<PutWrapsReply>, Status> {
        let (role, node) = machine(&request)?;
        self.put(role, node, request.into_inner().wraps).await?;
        Ok(Response::new(PutWrapsReply {}))
    }

    async fn get_wraps(&self, request: Request<GetWrapsRequest>) -> Result<Response<GetWrapsReply>, Status> {
        let (role, node) = machine(&request)?;
        let wraps = self.wraps(role, node, GroupId(request.into_inner().group)).await?;
        Ok(Response::new(GetWrapsReply { wraps }))
    }

    async fn get_evidence(
        &self,
        request: Request<GetEvidenceRequest>,
    ) -> Result<Response<GetEvidenceReply>, Status> {
        machine(&request)?;
        let node = wire::id(&request.get_ref().node_id, "node id")?;
        Ok(self.evidence(node).await.map(Response::new)?)
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportReply>, Status> {
        let (_, node) = machine(&request)?;
        let request = request.into_inner();
        let (group, replica) = (GroupId(request.group), ReplicaId(request.replica_id));
        Self::report(self, node, group, replica, request.report()).await?;
        Ok(Response::new(ReportReply {}))
    }

    async fn heartbeat(
        &self,
        _: Request<holdfast_proto::registry::v1::HeartbeatRequest>,
    ) -> Result<Response<holdfast_proto::registry::v1::HeartbeatReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_floors(
        &self,
        _: Request<holdfast_proto::registry::v1::GetFloorsRequest>,
    ) -> Result<Response<holdfast_proto::registry::v1::GetFloorsReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn admit_device(
        &self,
        request: Request<AdmitDeviceRequest>,
    ) -> Result<Response<AdmitDeviceReply>, Status> {
        let (role, node) = machine(&request)?;
        self.admit(role, node, request.into_inner()).await?;
        Ok(Response::new(AdmitDeviceReply {}))
    }
}
