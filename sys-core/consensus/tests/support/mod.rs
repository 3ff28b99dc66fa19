//! Processes in one process: nodes with their own disks, joined by in-memory streams that can be cut.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "support of tests only")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use holdfast_consensus::{
    AuthenticatedPeer, Command, Compaction, ConnectError, Group, Groups, Hibernation, MachineError, Member,
    Options, PeerAuth, PeerConnector, PeerDirectory, PeerId, PeerTarget, Pin as KeyPin, SnapshotView,
    StateMachine, Timing,
};
use holdfast_domain::{GroupId, NodeId, ReplicaId, SpkiHash, UnixMs};
use holdfast_keys::LocalKey;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};

pub const SOON: Duration = Duration::from_secs(10);

type Map = BTreeMap<Vec<u8>, (u64, u64)>;

/// A machine in memory: counts how often each command was applied, and remembers its last ordinal.
#[derive(Default, Clone)]
pub struct Counter {
    pub map: Arc<Mutex<Map>>,
}

struct View(Map);

impl SnapshotView for View {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), MachineError> {
        for (key, (count, ordinal)) in &self.0 {
            out.write_all(&u32::try_from(key.len()).unwrap().to_be_bytes())?;
            out.write_all(key)?;
            out.write_all(&count.to_be_bytes())?;
            out.write_all(&ordinal.to_be_bytes())?;
        }
        Ok(())
    }
}

impl StateMachine for Counter {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(None)
    }

    fn apply(&mut self, commands: &[Command<'_>], _meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        let mut map = self.map.lock().unwrap();
        Ok(commands
            .iter()
            .map(|command| {
                let row = map.entry(command.bytes.to_vec()).or_default();
                *row = (row.0 + 1, command.ordinal());
                [b"applied ", command.bytes].concat()
            })
            .collect())
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        Ok(Box::new(View(self.map.lock().unwrap().clone())))
    }

    fn install(&mut self, snapshot: &mut dyn Read, _meta: &[u8]) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut map = Map::new();
        while !rest.is_empty() {
            let mut take = |n: usize| {
                let (taken, left) = rest.split_at(n);
                rest = left;
                taken.to_vec()
            };
            let len = u32::from_be_bytes(take(4).try_into().unwrap());
            let key = take(usize::try_from(len).unwrap());
            let count = u64::from_be_bytes(take(8).try_into().unwrap());
            let ordinal = u64::from_be_bytes(take(8).try_into().unwrap());
            map.insert(key, (count, ordinal));
        }
        *self.map.lock().unwrap() = map;
        Ok(())
    }
}

/// One end of a stream that knows who is at the other.
pub struct Io {
    stream: DuplexStream,
    peer: AuthenticatedPeer,
    node: u8,
    net: Net,
}

impl Connected for Io {
    type ConnectInfo = AuthenticatedPeer;

    fn connect_info(&self) -> AuthenticatedPeer {
        self.peer
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = u64::try_from(buf.filled().len() - before).unwrap();
        *self.net.heard.lock().unwrap().entry(self.node).or_default() += bytes;
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Auth;

impl PeerAuth for Auth {
    fn authenticate(&self, extensions: &tonic::Extensions) -> Option<AuthenticatedPeer> {
        extensions.get::<AuthenticatedPeer>().copied()
    }
}

/// Who listens where. Also the directory of signed descriptors.
#[derive(Default, Clone)]
pub struct Net {
    listeners: Arc<Mutex<HashMap<String, mpsc::Sender<Io>>>>,
    directory: Arc<Mutex<HashMap<(GroupId, ReplicaId), Member>>>,
    /// Whose calls to whom do not get through: a number each, the caller's first.
    cut: Arc<Mutex<BTreeSet<(u8, u8)>>>,
    /// Bytes that each node heard from callers.
    pub heard: Arc<Mutex<BTreeMap<u8, u64>>>,
    /// After which quiet time groups sleep; the default of the options if not set.
    pub hibernation: Arc<Mutex<Option<Hibernation>>>,
}

/// Bytes between a caller and a listener, dropped while they are cut from each other.
fn pass(net: Net, from: u8, to: u8, one: DuplexStream, other: DuplexStream) {
    tokio::spawn(async move {
        let (mut one, mut other) = (one, other);
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut one, &mut other) => {}
            () = net.until_cut(from, to) => {}
        }
    });
}

impl PeerDirectory for Net {
    fn member(&self, group: GroupId, replica: ReplicaId) -> Option<Member> {
        self.directory.lock().unwrap().get(&(group, replica)).cloned()
    }
}

impl Net {
    pub fn describe(&self, group: GroupId, replica: ReplicaId, member: Member) {
        self.directory.lock().unwrap().insert((group, replica), member);
    }

    /// What `from` asks of `to` no longer arrives, on old connections and new ones; the other way round it does.
    pub fn cut(&self, from: u8, to: u8) {
        self.cut.lock().unwrap().insert((from, to));
    }

    /// Cuts a node off, both ways.
    pub fn isolate(&self, node: u8, others: &[u8]) {
        for other in others {
            self.cut(node, *other);
            self.cut(*other, node);
        }
    }

    /// Everything gets through again.
    pub fn heal(&self) {
        self.cut.lock().unwrap().clear();
    }

    async fn until_cut(&self, from: u8, to: u8) {
        while !self.cut.lock().unwrap().contains(&(from, to)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A channel to an address, as `peer`.
    pub async fn dial(&self, address: &str, peer: AuthenticatedPeer) -> io::Result<Channel> {
        let net = self.clone();
        let address = address.to_owned();
        let from = peer.spki.as_bytes()[0];
        let to = address.trim_start_matches("node-").trim_end_matches(":1").parse::<u8>().unwrap();
        let connect = move |_| {
            let (net, address) = (net.clone(), address.clone());
            async move {
                if net.cut.lock().unwrap().contains(&(from, to)) {
                    return Err(io::Error::other("cut off"));
                }
                let listener = net.listeners.lock().unwrap().get(&address).cloned();
                let listener = listener.ok_or_else(|| io::Error::other("nobody listens there"))?;
                let (ours, through) = tokio::io::duplex(64 << 10);
                let (out, theirs) = tokio::io::duplex(64 << 10);
                pass(net.clone(), from, to, through, out);
                listener
                    .send(Io { stream: theirs, peer, node: to, net: net.clone() })
                    .await
                    .map_err(io::Error::other)?;
                Ok::<_, io::Error>(hyper_util::rt::TokioIo::new(ours))
            }
        };
        let endpoint = Endpoint::from_static("http://peer");
        endpoint.connect_with_connector(tower::service_fn(connect)).await.map_err(io::Error::other)
    }
}

struct Dialer {
    net: Net,
    me: AuthenticatedPeer,
}

impl PeerConnector for Dialer {
    fn connect(&self, target: PeerTarget) -> BoxFuture<'static, Result<Channel, ConnectError>> {
        let (net, me) = (self.net.clone(), self.me);
        Box::pin(async move {
            net.dial(&target.address, me)
                .await
                .map_err(|source| ConnectError { target: target.id, source: source.into() })
        })
    }
}

/// What is left of a process.
pub type Stopped = (u8, Net, Compaction, Disk);

/// Where a process keeps its files.
pub enum Disk {
    /// Gone with the test.
    Temporary(tempfile::TempDir),
    /// Somebody else's directory.
    At(std::path::PathBuf),
}

impl Disk {
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::At(path) => path,
        }
    }
}

/// A process.
pub struct Node {
    pub number: u8,
    pub net: Net,
    pub disk: Disk,
    pub groups: Groups,
    pub machines: BTreeMap<GroupId, Counter>,
    pub compaction: Compaction,
    server: tokio::task::JoinHandle<()>,
}

pub fn node_id(number: u8) -> NodeId {
    NodeId::new([number; 16])
}

pub fn member(number: u8) -> Member {
    Member {
        node: node_id(number),
        address: format!("node-{number}:1"),
        pin: KeyPin::Key(SpkiHash::new([number; 32])),
    }
}

/// The identity that a process shows: a registry's, or a node's.
pub fn identity(number: u8, registry: bool) -> AuthenticatedPeer {
    let id = if registry { PeerId::Registry(node_id(number)) } else { PeerId::Node(node_id(number)) };
    AuthenticatedPeer { id, spki: SpkiHash::new([number; 32]), not_after: UnixMs(u64::MAX) }
}

fn options(net: &Net, disk: &Disk, compaction: Compaction) -> Options {
    let mut options = Options::new(disk.path());
    let millis = Duration::from_millis;
    options.timing = Timing::new(millis(50), millis(200), millis(400)).unwrap();
    options.compaction = compaction;
    options.hibernation = net.hibernation.lock().unwrap().unwrap_or_default();
    options
}

impl Node {
    pub async fn start(number: u8, net: &Net) -> Self {
        Self::start_with(number, net, Compaction::default()).await
    }

    pub async fn start_with(number: u8, net: &Net, compaction: Compaction) -> Self {
        Self::start_at(number, net, compaction, Disk::Temporary(tempfile::tempdir().unwrap())).await
    }

    pub async fn start_at(number: u8, net: &Net, compaction: Compaction, disk: Disk) -> Self {
        // Group 0 needs a registry's identity, others a node's; tests use one or the other.
        // Tasks of an instance that was killed may hold its log for a moment longer.
        let deadline = tokio::time::Instant::now() + SOON;
        let groups = loop {
            let dialer = Dialer { net: net.clone(), me: identity(number, false) };
            let key = LocalKey::from_bytes([number; 32]);
            let options = options(net, &disk, compaction);
            match Groups::open(options, key, Arc::new(dialer), Arc::new(net.clone())).await {
                Ok(groups) => break groups,
                Err(error) if format!("{error:?}").contains("lock file") => {
                    assert!(tokio::time::Instant::now() < deadline, "{error:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        let server = serve(net, &member(number).address, &groups);
        Self { number, net: net.clone(), disk, groups, machines: BTreeMap::new(), compaction, server }
    }

    pub async fn host(&mut self, group: GroupId, replica: u64) -> Group {
        let machine = Counter::default();
        self.machines.insert(group, machine.clone());
        self.groups.start(group, ReplicaId(replica), Box::new(machine)).await.unwrap()
    }

    /// The process dies: nobody is told.
    pub async fn kill(self) -> Stopped {
        self.net.listeners.lock().unwrap().remove(&member(self.number).address);
        self.server.abort();
        for group in self.groups.running() {
            group.shutdown().await;
        }
        self.groups.shutdown().await;
        (self.number, self.net, self.compaction, self.disk)
    }

    pub fn count(&self, group: GroupId, command: &[u8]) -> u64 {
        self.machines[&group].map.lock().unwrap().get(command).map_or(0, |row| row.0)
    }
}

pub async fn restart((number, net, compaction, disk): Stopped) -> Node {
    Node::start_at(number, &net, compaction, disk).await
}

fn serve(net: &Net, address: &str, groups: &Groups) -> tokio::task::JoinHandle<()> {
    let (listener, incoming) = mpsc::channel(16);
    net.listeners.lock().unwrap().insert(address.to_owned(), listener);
    let service = groups.service(Arc::new(Auth));
    let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming);
    let incoming = tokio_stream::StreamExt::map(incoming, Ok::<_, io::Error>);
    tokio::spawn(async move {
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    })
}

/// Three nodes, each with one replica of each group; replica ids are `10 × group + node`.
pub async fn three(net: &Net, groups: &[u32]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(Node::start(number, net).await);
    }
    for group in groups {
        for node in &mut nodes {
            node.host(GroupId(*group), u64::from(group * 10) + u64::from(node.number)).await;
        }
        let members = members(*group, &[1, 2, 3]);
        for node in &nodes {
            node.groups.get(GroupId(*group)).unwrap().bootstrap(members.clone()).await.unwrap();
        }
    }
    nodes
}

pub fn replica(group: u32, node: u8) -> ReplicaId {
    ReplicaId(u64::from(group * 10) + u64::from(node))
}

pub fn members(group: u32, nodes: &[u8]) -> BTreeMap<ReplicaId, Member> {
    nodes.iter().map(|node| (replica(group, *node), member(*node))).collect()
}

pub fn set(replicas: &[ReplicaId]) -> BTreeSet<ReplicaId> {
    replicas.iter().copied().collect()
}

/// Index in `nodes` of the group's leader, once all agree.
pub async fn leader(nodes: &[Node], group: u32) -> usize {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let group = GroupId(group);
        let leading: Vec<usize> = (0..nodes.len())
            .filter(|at| nodes[*at].groups.get(group).is_some_and(|group| group.leading_term().is_some()))
            .collect();
        if let [leading] = leading[..] {
            let id = nodes[leading].groups.get(group).unwrap().replica();
            if nodes
                .iter()
                .filter_map(|node| node.groups.get(group))
                .all(|group| group.status().leader == Some(id))
            {
                return leading;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "no leader of group {group}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
