//! Keys in wrapped form: stored for machines by machines, and the evidence that they check before they wrap.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use holdfast_domain::{
    GroupId, KeyGeneration, KeySubject, MapEpoch, NodeId, NodeRole, Reason, ReplicaDescriptor, ReplicaId,
    ReplicaState, ShardMap, Signed, SignedAdmission, UnixMs, WrapRow, codec, wrap::MAX_WRAP,
};
use holdfast_proto::registry::v1::{
    AdmitDeviceReply, AdmitDeviceRequest, Floor, GetEvidenceReply, GetEvidenceRequest, GetFloorsReply,
    GetFloorsRequest, GetWrapsReply, GetWrapsRequest, HeartbeatReply, HeartbeatRequest, PutWrapsReply,
    PutWrapsRequest, ReplicaReport, ReportReply, ReportRequest, SignedRow, custody_server::Custody,
};
use holdfast_registry_state::{Act, AdmitDevice, Applied, DeviceChange, FloorRow, MapChange, State, plan};
use holdfast_sys_core::Refusal;
use tonic::{Request, Response, Status};

use super::{limits, machine, signed, wire};
use crate::{authority::machine_subject, core::Core, health::Heard};

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

    async fn report(&self, node: NodeId, report: Report) -> Result<(), Refusal> {
        let by = machine_subject(NodeRole::Node, node);
        let Report { group, replica, what, other } = report;
        let result = match map_change(report)? {
            Some(change) => {
                self.core.change_map(&by, |state| plan::plan(state, change.clone()).map(Some)).await
            }
            None if what == ReplicaReport::Rotated => {
                let generation = KeyGeneration(u32::try_from(other).map_err(wire::malformed)?);
                self.core.propose(by, Act::Rotated { group, replica, generation }).await
            }
            None => self.core.propose(by, Act::Dropped { group, replica }).await,
        };
        match result {
            // Told again by a node that did not hear the answer.
            Err(refusal) if is_known(&self.core.state(), node, report) => {
                tracing::debug!(%group, %replica, %refusal, "reported again");
                Ok(())
            }
            other => other.map(|_: Applied| ()),
        }
    }
}

/// What a replica's holder says about it.
#[derive(Debug, Clone, Copy)]
struct Report {
    group: GroupId,
    replica: ReplicaId,
    what: ReplicaReport,
    other: u64,
}

/// The change of the map that a report asks for; none for those that change something else.
fn map_change(report: Report) -> Result<Option<MapChange>, Refusal> {
    let Report { group, replica, what, other } = report;
    let (since, of) = (MapEpoch(other), ReplicaId(other));
    Ok(Some(match what {
        ReplicaReport::Founded => MapChange::Founded { group, replica },
        ReplicaReport::Promoted => MapChange::Promoted { group, by: replica, replica: of },
        ReplicaReport::Removed => MapChange::Removed { group, by: replica, replica: of },
        ReplicaReport::Lost => MapChange::Lost { group, replica },
        ReplicaReport::SlotsMoved => MapChange::SlotsMoved { since, by: replica },
        ReplicaReport::SlotsKept => MapChange::SlotsKept { since, by: replica },
        ReplicaReport::Rotated | ReplicaReport::Dropped => return Ok(None),
        ReplicaReport::Unspecified => return Err(wire::malformed("a report says what happened")),
    }))
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
fn is_known(state: &State, node: NodeId, report: Report) -> bool {
    let Report { group: id, replica, what, other } = report;
    let map = state.map().map(|(_, map)| map);
    let group = map.and_then(|map| map.group(id));
    let find = |replica| group.and_then(|group| group.replica(replica));
    let (here, there) = (find(replica), find(ReplicaId(other)));
    let own = here.is_some_and(|here| here.node == node);
    let in_group = |of: &ReplicaDescriptor| matches!(of.state, ReplicaState::Voter | ReplicaState::Leaving);
    match what {
        ReplicaReport::Founded => own && here.is_some_and(in_group),
        ReplicaReport::Promoted => own && there.is_some_and(in_group),
        ReplicaReport::Removed => own && there.is_none(),
        ReplicaReport::Lost => {
            here.is_none_or(|here| here.node == node && here.state == ReplicaState::Leaving)
        }
        ReplicaReport::SlotsMoved | ReplicaReport::SlotsKept => {
            let ended = |map: &ShardMap| map.moves.iter().all(|slot_move| slot_move.since.0 != other);
            own && map.is_some_and(|map| other <= map.epoch.0 && ended(map))
        }
        ReplicaReport::Dropped => {
            here.is_none() && !state.drops_for(node).any(|dropping| dropping == (id, replica))
        }
        ReplicaReport::Rotated | ReplicaReport::Unspecified => false,
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
        let ReportRequest { group, replica_id, report: _, other } = *request.get_ref();
        let what = request.get_ref().report();
        let report = Report { group: GroupId(group), replica: ReplicaId(replica_id), what, other };
        Self::report(self, node, report).await?;
        Ok(Response::new(ReportReply {}))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatReply>, Status> {
        let (_, node) = machine(&request)?;
        let heard = Heard::read(request.into_inner()).map_err(wire::malformed)?;
        self.core.health().hear(node, heard, Instant::now());
        Ok(Response::new(HeartbeatReply {}))
    }

    async fn get_floors(
        &self,
        request: Request<GetFloorsRequest>,
    ) -> Result<Response<GetFloorsReply>, Status> {
        let (_, node) = machine(&request)?;
        // A floor that this voter has not heard of yet is one that was reported for nothing.
        self.core.read_index().await?;
        let floor = |row: FloorRow| {
            let FloorRow { group, replica, floor: (term, index) } = row;
            Floor { group: group.0, replica_id: replica.0, term, index }
        };
        Ok(Response::new(GetFloorsReply { floors: self.core.state().floors_of(node).map(floor).collect() }))
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
