//! A registry and a shard node that keep everything in memory and fail on request, over real TLS and HTTP/2.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use holdfast_certs::{
    AcceptLimits, ClientAuth, Connections, Identity, LeafRequest, LiveIdentity, Peer, PinnedPeers, ServerTls,
    SubjectKey, csr, incoming, testing::TestCluster,
};
use holdfast_domain::{
    AccountId, ClientId, GroupDescriptor, GroupId, Home, HomeId, InvitePublic, Lineage, MapEpoch, NodeId,
    OperatorName, Reason, ReplicaDescriptor, ReplicaId, ReplicaState, RootHash, Sha256Hash, ShardEpoch,
    ShardMap, Signature64, Signed, SpiffeSubject, map::even_slots,
};
use holdfast_files_api::v1::{self as files, files_server};
use holdfast_keys::{ClientPublic, Registration, Signer as _, SoftSigner, labels, sign_value};
use holdfast_proto::{
    error_details::{self, Details},
    module::v1::{GetCapabilitiesReply, GetCapabilitiesRequest, Route, capabilities_server},
    registry::v1::{self as pb, clients_server, directory_server},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    credential::{OperatorCredential, OperatorDescription},
    time::now,
    trust::testing::Founded,
};

const NODE: NodeId = NodeId::new([0x11; 16]);

/// What goes wrong next; each is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next call is refused.
    Refuse(Reason),
    /// The next call is refused with a newer map attached.
    StaleMap,
    /// The next append keeps this many bytes and breaks.
    CutAppend(usize),
    /// The next get sends this many bytes and breaks.
    CutGet(usize),
    /// The next get sends other bytes than the ones that were put.
    Corrupt,
}

#[derive(Default)]
pub(crate) struct State {
    pub(super) faults: VecDeque<Fault>,
    pub(super) files: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) uploads: BTreeMap<Vec<u8>, (Vec<u8>, u64, Vec<u8>)>,
    pub(super) calls: Vec<&'static str>,
    pub(super) commands: Vec<Vec<u8>>,
    /// Whose home each call addressed; `None` for the caller's own.
    pub(crate) homes: Vec<Option<HomeId>>,
    /// Bytes that appends brought.
    pub(super) appended: usize,
    /// Addresses of the registry's members, as Bootstrap names them.
    pub(super) voters: Vec<String>,
    /// What callers are told that they may do.
    pub(crate) capabilities: GetCapabilitiesReply,
    epoch: u64,
}

/// A whole cluster of fakes.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

struct Inner {
    founded: Founded,
    state: Mutex<State>,
    addresses: Mutex<(String, String)>,
    listeners: Mutex<BTreeMap<String, tokio::task::AbortHandle>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let founded = Founded::new(TestCluster::fresh().unwrap(), None);
        let state = Mutex::new(State { epoch: 1, ..State::default() });
        let fake = Self(Arc::new(Inner {
            founded,
            state,
            addresses: Mutex::default(),
            listeners: Mutex::default(),
        }));
        let registry = fake.listen(SpiffeSubject::Registry(NODE)).await;
        let node = fake.listen(SpiffeSubject::Node(NODE)).await;
        *fake.0.addresses.lock().unwrap() = (registry, node);
        fake
    }

    pub(super) fn registry_address(&self) -> String {
        self.0.addresses.lock().unwrap().0.clone()
    }

    /// The credential of an operator who knows one registry.
    pub(super) fn operator(&self, dir: &std::path::Path) -> OperatorCredential {
        let (key, name) = (SoftSigner::generate().unwrap(), "ann".parse::<OperatorName>().unwrap());
        let leaf = LeafRequest {
            subject: SpiffeSubject::Operator(name.clone()),
            key: key.public().into(),
            now: now(),
            not_after: now().plus_ms(3_600_000),
            home: None,
        };
        let (chain, trust) = (self.0.founded.workload.issue(&leaf).unwrap(), self.0.founded.trust());
        let description = OperatorDescription {
            cluster: trust.cluster(),
            trust_domain: trust.trust_domain().clone(),
            root_hash: trust.root_hash(),
            registries: vec![self.registry_address().parse().unwrap()],
            name,
        };
        OperatorCredential::create(dir, description, key, chain, trust, None).unwrap()
    }

    /// One more member of the registry.
    pub(super) async fn another_registry(&self) -> String {
        self.listen(SpiffeSubject::Registry(NodeId::new([0x22; 16]))).await
    }

    /// Nobody listens at the address any more.
    pub(super) async fn stop(&self, address: &str) {
        self.0.listeners.lock().unwrap().remove(address).unwrap().abort();
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(super) fn root_hash(&self) -> RootHash {
        self.0.founded.trust().root_hash()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn fail_with(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// Both kinds of services everywhere: what matters is who is dialed for what.
    async fn listen(&self, subject: SpiffeSubject) -> String {
        let key = SoftSigner::generate().unwrap();
        let authority = match subject {
            SpiffeSubject::Registry(_) => &self.0.founded.registry,
            _ => &self.0.founded.workload,
        };
        let (not_after, public) = (now().plus_ms(3_600_000), key.public());
        let leaf = LeafRequest { subject, key: public.into(), now: now(), not_after, home: None };
        let identity = Identity::from_soft(authority.issue(&leaf).unwrap(), &key).unwrap();
        let trust = self.0.founded.trust().live();
        let tls =
            ServerTls::new(LiveIdentity::new(identity), trust, ClientAuth::Optional, PinnedPeers::none());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = incoming(listener, tls.unwrap(), Connections::new(), AcceptLimits::default());
        let server = tonic::transport::Server::builder()
            .add_service(directory_server::DirectoryServer::new(self.clone()))
            .add_service(clients_server::ClientsServer::new(self.clone()))
            .add_service(files_server::FilesServer::new(self.clone()))
            .add_service(capabilities_server::CapabilitiesServer::new(self.clone()));
        let task = tokio::spawn(server.serve_with_incoming(connections)).abort_handle();
        self.0.listeners.lock().unwrap().insert(address.clone(), task);
        address
    }

    fn map(&self) -> Signed<ShardMap> {
        let replica = ReplicaDescriptor {
            replica: ReplicaId(1),
            node: NODE,
            address: self.0.addresses.lock().unwrap().1.clone(),
            state: ReplicaState::Voter,
        };
        let group = GroupDescriptor {
            group: GroupId(1),
            epoch: ShardEpoch(1),
            slots: vec![even_slots(0, 1).unwrap()],
            replicas: vec![replica],
        };
        let map = ShardMap {
            cluster: self.0.founded.trust().cluster(),
            lineage: Lineage(0),
            epoch: MapEpoch(self.state().epoch),
            groups: vec![group],
            moves: vec![],
        };
        sign_value(&self.0.founded.map_signer, labels::SHARD_MAP, &map).unwrap()
    }

    fn bundle(&self) -> pb::TrustBundle {
        let Founded { root_der, signed, .. } = &self.0.founded;
        let trust = self.0.founded.trust();
        pb::TrustBundle {
            cluster_id: trust.cluster().as_bytes().to_vec().into(),
            trust_domain: trust.trust_domain().to_string(),
            root_der: root_der.clone().into(),
            sequence: 1,
            genesis: Some(row(signed)),
        }
    }

    /// Notes a call of the files service, checks its caller and route, and fails it when that is wanted.
    fn enter<T>(&self, name: &'static str, request: &Request<T>, route: Option<Route>) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.identity.clone());
        peer.and_then(|identity| identity.home).ok_or_else(|| refusal(Reason::Unauthenticated))?;
        let route = route.ok_or_else(|| refusal(Reason::Malformed))?;
        let mut state = self.state();
        state.calls.push(name);
        state.commands.push(route.command_id.to_vec());
        state.homes.push(route.home.as_ref().map(|home| home.try_into().unwrap()));
        match state.faults.front().cloned() {
            Some(Fault::Refuse(reason)) => {
                state.faults.pop_front();
                return Err(refusal(reason));
            }
            Some(Fault::StaleMap) => {
                state.faults.pop_front();
                state.epoch += 1;
            }
            _ => {}
        }
        if route.map_epoch < state.epoch {
            let epoch = MapEpoch(state.epoch);
            drop(state);
            let details = Details {
                reason: "stale_map".into(),
                map_epoch: Some(epoch),
                map: Some(self.map()),
                ..Details::default()
            };
            let bytes = error_details::encode(Code::FailedPrecondition, "stale", details);
            return Err(Status::with_details(Code::FailedPrecondition, "stale", bytes));
        }
        Ok(())
    }

    fn info(name: &[u8], content: &[u8]) -> files::FileInfo {
        files::FileInfo {
            name: name.to_vec().into(),
            size: content.len().try_into().unwrap(),
            sha256: Sha256Hash::of(content).as_bytes().to_vec().into(),
            modified_ms: 7,
        }
    }

    fn stored(&self, name: &[u8]) -> Result<files::FileInfo, Status> {
        let state = self.state();
        let content = state.files.get(name).ok_or_else(|| refusal(Reason::NotFound))?;
        Ok(Self::info(name, content))
    }

    fn issue(&self, key: SubjectKey, client: ClientId, account: AccountId) -> pb::ClientGrant {
        let home = Home { account, quota_bytes: 1 << 30 };
        let leaf = LeafRequest {
            subject: SpiffeSubject::Client(client),
            key,
            now: now(),
            not_after: now().plus_ms(3_600_000),
            home: Some(home),
        };
        let chain = self.0.founded.workload.issue(&leaf).unwrap();
        pb::ClientGrant {
            chain: chain.into_ders().into_iter().map(Bytes::from).collect(),
            bundle: Some(self.bundle()),
            renew_after_ms: 0,
            quota_bytes: home.quota_bytes,
        }
    }
}

fn refusal(reason: Reason) -> Status {
    let details = Details { reason: reason.code().to_owned(), ..Details::default() };
    let bytes = error_details::encode(Code::FailedPrecondition, reason.text(), details);
    Status::with_details(Code::FailedPrecondition, reason.text(), bytes)
}

fn row<T>(signed: &Signed<T>) -> pb::SignedRow {
    pb::SignedRow { bytes: signed.bytes.clone().into(), signature: signed.signature.0.to_vec().into() }
}

fn signature(bytes: &[u8]) -> Signature64 {
    Signature64(bytes.try_into().unwrap())
}

#[tonic::async_trait]
impl directory_server::Directory for Fake {
    type WatchStream = ReceiverStream<Result<pb::WatchEvent, Status>>;

    async fn bootstrap(
        &self,
        _: Request<pb::BootstrapRequest>,
    ) -> Result<Response<pb::BootstrapReply>, Status> {
        let voter = |address: &String| pb::Voter { address: address.clone(), ..pb::Voter::default() };
        let voters = self.state().voters.iter().map(voter).collect();
        let reply = pb::BootstrapReply { bundle: Some(self.bundle()), voters, server_time_ms: now().0 };
        Ok(Response::new(reply))
    }

    async fn resolve(&self, _: Request<pb::ResolveRequest>) -> Result<Response<pb::ResolveReply>, Status> {
        self.state().calls.push("resolve");
        Ok(Response::new(pb::ResolveReply { map: Some(row(&self.map())), group: 1 }))
    }

    async fn watch(&self, _: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not for clients"))
    }
}

#[tonic::async_trait]
impl clients_server::Clients for Fake {
    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::ClientGrant>, Status> {
        let exporter = *request.extensions().get::<Peer>().unwrap().exporter.as_bytes();
        let request = request.into_inner();
        let invite = InvitePublic::try_from(&*request.invite_public).unwrap();
        let (account, client) = (
            AccountId::try_from(&*request.account_id).unwrap(),
            ClientId::try_from(&*request.client_id).unwrap(),
        );
        let cluster = self.0.founded.trust().cluster();
        let message =
            Registration { cluster, exporter: &exporter, account, client, csr: &request.csr, invite }
                .message();
        let key = *csr::parse(&request.csr).unwrap().key();
        let SubjectKey::Ed25519(public) = key else { return Err(refusal(Reason::CertificateRequest)) };
        let proven = public.verify_raw(&message, &signature(&request.proof)).is_ok();
        let invited = ClientPublic::try_from(invite).unwrap();
        if !proven || invited.verify_raw(&message, &signature(&request.invite_signature)).is_err() {
            return Err(refusal(Reason::ProofOfPossession));
        }
        Ok(Response::new(self.issue(key, client, account)))
    }

    async fn renew(&self, _: Request<pb::RenewRequest>) -> Result<Response<pb::ClientGrant>, Status> {
        Err(refusal(Reason::ProofOfPossession))
    }

    async fn list_devices(
        &self,
        _: Request<pb::ListDevicesRequest>,
    ) -> Result<Response<pb::ListDevicesReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn add_device(
        &self,
        _: Request<pb::AddDeviceRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn rotate_device(
        &self,
        _: Request<pb::RotateDeviceRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn revoke_device(
        &self,
        _: Request<pb::RevokeDeviceRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn set_recovery(
        &self,
        _: Request<pb::SetRecoveryRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn recover(
        &self,
        _: Request<pb::RecoverRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn set_login(
        &self,
        _: Request<pb::SetLoginRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }
}

#[tonic::async_trait]
impl files_server::Files for Fake {
    type GetStream = ReceiverStream<Result<files::GetReply, Status>>;

    async fn begin(
        &self,
        request: Request<files::BeginRequest>,
    ) -> Result<Response<files::BeginReply>, Status> {
        self.enter("begin", &request, request.get_ref().route.clone())?;
        let files::BeginRequest { name, size, upload_id, .. } = request.into_inner();
        let mut state = self.state();
        let upload = state.uploads.entry(upload_id.to_vec()).or_insert((name.to_vec(), size, vec![]));
        Ok(Response::new(files::BeginReply { durable_bytes: upload.2.len().try_into().unwrap() }))
    }

    async fn append(
        &self,
        request: Request<Streaming<files::AppendRequest>>,
    ) -> Result<Response<files::AppendReply>, Status> {
        let (metadata, extensions, mut messages) = request.into_parts();
        let first = messages.message().await?.ok_or_else(|| refusal(Reason::Malformed))?;
        let request = Request::from_parts(metadata, extensions, ());
        self.enter("append", &request, first.route.clone())?;
        let mut offset_wanted = Some(first.offset);
        let id = first.upload_id.to_vec();
        let mut next = Some(first);
        while let Some(files::AppendRequest { data, .. }) = next {
            {
                let mut state = self.state();
                let cut = match state.faults.front() {
                    Some(Fault::CutAppend(bytes)) => Some(*bytes),
                    _ => None,
                };
                let upload = state.uploads.get_mut(&id).ok_or_else(|| refusal(Reason::UploadUnknown))?;
                if offset_wanted.take().is_some_and(|offset| offset != u64::try_from(upload.2.len()).unwrap())
                {
                    return Err(refusal(Reason::Conflict));
                }
                upload.2.extend_from_slice(&data);
                let full = upload.2.len();
                state.appended += data.len();
                if cut.is_some_and(|bytes| full >= bytes) {
                    state.faults.pop_front();
                    return Err(Status::unavailable("the node went away"));
                }
            }
            next = messages.message().await?;
        }
        let durable = self.state().uploads[&id].2.len();
        Ok(Response::new(files::AppendReply { durable_bytes: durable.try_into().unwrap() }))
    }

    async fn commit(
        &self,
        request: Request<files::CommitRequest>,
    ) -> Result<Response<files::CommitReply>, Status> {
        self.enter("commit", &request, request.get_ref().route.clone())?;
        let files::CommitRequest { upload_id, sha256, .. } = request.into_inner();
        let mut state = self.state();
        let upload =
            state.uploads.remove(&upload_id.to_vec()).ok_or_else(|| refusal(Reason::UploadUnknown))?;
        let (name, size, content) = upload;
        assert_eq!(size, u64::try_from(content.len()).unwrap());
        if *sha256 != Sha256Hash::of(&content).as_bytes()[..] {
            return Err(refusal(Reason::HashMismatch));
        }
        let file = Some(Self::info(&name, &content));
        state.files.insert(name, content);
        Ok(Response::new(files::CommitReply { file }))
    }

    async fn put_small(
        &self,
        request: Request<files::PutSmallRequest>,
    ) -> Result<Response<files::CommitReply>, Status> {
        self.enter("put_small", &request, request.get_ref().route.clone())?;
        let files::PutSmallRequest { name, data, .. } = request.into_inner();
        self.state().files.insert(name.to_vec(), data.to_vec());
        Ok(Response::new(files::CommitReply { file: Some(Self::info(&name, &data)) }))
    }

    async fn get(&self, request: Request<files::GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        self.enter("get", &request, request.get_ref().route.clone())?;
        let files::GetRequest { name, offset, .. } = request.into_inner();
        let info = self.stored(&name)?;
        let mut content = self.state().files[&name.to_vec()].clone();
        let mut cut = None;
        let mut state = self.state();
        match state.faults.front() {
            Some(Fault::CutGet(bytes)) => cut = Some(*bytes),
            Some(Fault::Corrupt) => content[0] ^= 1,
            _ => {}
        }
        state.faults.pop_front();
        drop(state);
        let (sender, receiver) = tokio::sync::mpsc::channel(2);
        tokio::spawn(async move {
            let first = files::GetReply { file: Some(info), data: Bytes::new() };
            let _ = sender.send(Ok(first)).await;
            let from = usize::try_from(offset).unwrap();
            let to = cut.map_or(content.len(), |bytes| (from + bytes).min(content.len()));
            for chunk in content[from..to].chunks(100_000) {
                let data = Bytes::copy_from_slice(chunk);
                let _ = sender.send(Ok(files::GetReply { file: None, data })).await;
            }
            if cut.is_some() {
                let _ = sender.send(Err(Status::unavailable("the node went away"))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn stat(&self, request: Request<files::StatRequest>) -> Result<Response<files::FileInfo>, Status> {
        self.enter("stat", &request, request.get_ref().route.clone())?;
        self.stored(&request.get_ref().name).map(Response::new)
    }

    async fn list(&self, request: Request<files::ListRequest>) -> Result<Response<files::ListReply>, Status> {
        self.enter("list", &request, request.get_ref().route.clone())?;
        let files::ListRequest { prefix, cursor, .. } = request.into_inner();
        let under = |name: &[u8]| {
            prefix.is_empty() || name.strip_prefix(&*prefix).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        let state = self.state();
        let mut after = state.files.iter().filter(|(name, _)| under(name) && name.as_slice() > &*cursor);
        // Pages of two, so that there are several.
        let page: Vec<_> = after.by_ref().take(2).map(|(name, content)| Self::info(name, content)).collect();
        let cursor = match (after.next(), page.last()) {
            (Some(_), Some(last)) => last.name.clone(),
            _ => Bytes::new(),
        };
        Ok(Response::new(files::ListReply { files: page, cursor }))
    }

    async fn remove(
        &self,
        request: Request<files::RemoveRequest>,
    ) -> Result<Response<files::RemoveReply>, Status> {
        self.enter("remove", &request, request.get_ref().route.clone())?;
        let removed = self.state().files.remove(&request.get_ref().name.to_vec());
        removed.map(|_| Response::new(files::RemoveReply {})).ok_or_else(|| refusal(Reason::NotFound))
    }

    async fn usage(
        &self,
        request: Request<files::UsageRequest>,
    ) -> Result<Response<files::UsageReply>, Status> {
        self.enter("usage", &request, request.get_ref().route.clone())?;
        Ok(Response::new(files::UsageReply { used_bytes: 1, quota_bytes: 2, files: 3 }))
    }
}

#[tonic::async_trait]
impl capabilities_server::Capabilities for Fake {
    async fn get(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesReply>, Status> {
        self.enter("capabilities", &request, request.get_ref().route.clone())?;
        Ok(Response::new(self.state().capabilities.clone()))
    }
}
