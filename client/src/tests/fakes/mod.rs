//! A registry and shard nodes that keep everything in memory and fail on request, over real TLS and HTTP/2.

mod files;
mod nodes;
mod registry;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use holdfast_certs::{
    AcceptLimits, ClientAuth, Connections, Identity, LeafRequest, LiveIdentity, PinnedPeers, ServerTls,
    incoming, testing::TestCluster,
};
use holdfast_domain::{GroupId, HomeId, NodeId, OperatorName, Reason, RootHash, Signed, SpiffeSubject};
use holdfast_files_api::v1::files_server;
use holdfast_keys::{Signer as _, SoftSigner};
use holdfast_proto::{
    error_details::{self, Details},
    module::v1::{GetCapabilitiesReply, capabilities_server},
    node::v1::maps_server,
    registry::v1::{self as pb, clients_server, directory_server},
};
use tonic::{Code, Status};

use crate::{
    credential::{OperatorCredential, OperatorDescription},
    time::now,
    trust::testing::Founded,
};
use nodes::FakeNode;
pub(crate) use nodes::{FIRST, node};

/// What goes wrong next; each is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next call is refused.
    Refuse(Reason),
    /// The next call is refused with a newer map attached.
    StaleMap,
    /// The next call is never answered.
    Hang,
    /// The next small file is put, and nobody hears of it.
    LoseReply,
    /// The next commit finds nothing of what was sent.
    LeaveBehind,
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
    /// Commands that put small files, each once.
    pub(super) applied: BTreeSet<Vec<u8>>,
    /// Whose home each call addressed; `None` for the caller's own.
    pub(crate) homes: Vec<Option<HomeId>>,
    /// Bytes that appends brought.
    pub(super) appended: usize,
    /// Addresses of the registry's members, as Bootstrap names them.
    pub(super) voters: Vec<String>,
    /// What callers are told that they may do.
    pub(crate) capabilities: GetCapabilitiesReply,
    pub(super) nodes: Vec<FakeNode>,
    /// Who leads each group, if somebody does.
    pub(super) leads: BTreeMap<GroupId, NodeId>,
    /// The group that serves, whatever the map says.
    pub(super) serving: GroupId,
    /// The group that serves according to the map.
    pub(super) mapped: GroupId,
    /// The group that the map says everything moves to.
    pub(super) moving_to: Option<GroupId>,
    /// Refusals have no room for the map.
    pub(super) map_is_large: bool,
    /// Which node got each call.
    pub(super) asked: Vec<NodeId>,
    /// How old the answer to each call may be.
    pub(super) staleness: Vec<u32>,
    pub(super) epoch: u64,
}

/// A whole cluster of fakes.
#[derive(Clone)]
pub(crate) struct Fake {
    inner: Arc<Inner>,
    /// The node that a call came to.
    at: NodeId,
}

struct Inner {
    founded: Founded,
    state: Mutex<State>,
    registry: Mutex<String>,
    listeners: Mutex<BTreeMap<String, tokio::task::AbortHandle>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let founded = Founded::new(TestCluster::fresh().unwrap(), None);
        let (serving, mapped) = (GroupId(1), GroupId(1));
        let state = Mutex::new(State { epoch: 1, serving, mapped, ..State::default() });
        let (registry, listeners) = (Mutex::default(), Mutex::default());
        let fake = Self { inner: Arc::new(Inner { founded, state, registry, listeners }), at: FIRST };
        let registry = fake.listen(SpiffeSubject::Registry(FIRST)).await;
        *fake.inner.registry.lock().unwrap() = registry;
        fake.add_node(FIRST, GroupId(1)).await;
        fake.state().leads.insert(GroupId(1), FIRST);
        fake
    }

    pub(super) fn registry_address(&self) -> String {
        self.inner.registry.lock().unwrap().clone()
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
        let (chain, trust) = (self.inner.founded.workload.issue(&leaf).unwrap(), self.inner.founded.trust());
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
        self.inner.listeners.lock().unwrap().remove(address).unwrap().abort();
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(super) fn root_hash(&self) -> RootHash {
        self.inner.founded.trust().root_hash()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    pub(crate) fn fail_with(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// Both kinds of services everywhere: what matters is who is dialed for what.
    async fn listen(&self, subject: SpiffeSubject) -> String {
        let at = match &subject {
            SpiffeSubject::Node(node) => *node,
            _ => FIRST,
        };
        let served = Self { inner: Arc::clone(&self.inner), at };
        let key = SoftSigner::generate().unwrap();
        let authority = match subject {
            SpiffeSubject::Registry(_) => &self.inner.founded.registry,
            _ => &self.inner.founded.workload,
        };
        let (not_after, public) = (now().plus_ms(3_600_000), key.public());
        let leaf = LeafRequest { subject, key: public.into(), now: now(), not_after, home: None };
        let identity = Identity::from_soft(authority.issue(&leaf).unwrap(), &key).unwrap();
        let trust = self.inner.founded.trust().live();
        let tls =
            ServerTls::new(LiveIdentity::new(identity), trust, ClientAuth::Optional, PinnedPeers::none());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = incoming(listener, tls.unwrap(), Connections::new(), AcceptLimits::default());
        let server = tonic::transport::Server::builder()
            .add_service(directory_server::DirectoryServer::new(served.clone()))
            .add_service(clients_server::ClientsServer::new(served.clone()))
            .add_service(files_server::FilesServer::new(served.clone()))
            .add_service(maps_server::MapsServer::new(served.clone()))
            .add_service(capabilities_server::CapabilitiesServer::new(served.clone()));
        let task = tokio::spawn(server.serve_with_incoming(connections)).abort_handle();
        self.inner.listeners.lock().unwrap().insert(address.clone(), task);
        address
    }
}

fn refusal(reason: Reason) -> Status {
    refusal_with(reason, Details::default())
}

fn refusal_with(reason: Reason, details: Details) -> Status {
    let details = Details { reason: reason.code().to_owned(), ..details };
    let bytes = error_details::encode(Code::FailedPrecondition, reason.text(), details);
    Status::with_details(Code::FailedPrecondition, reason.text(), bytes)
}

fn row<T>(signed: &Signed<T>) -> pb::SignedRow {
    pb::SignedRow { bytes: signed.bytes.clone().into(), signature: signed.signature.0.to_vec().into() }
}
