//! What idle groups cost: three processes, each with a replica of every group, over TCP on this machine.
//!
//! `cargo run --example idle_groups [groups] [seconds] [never]` waits until all groups sleep, prints the processors' time that the three
//! take together, as a share of one core, and how long the first put on a sleeping group takes. With `never`, groups do not sleep.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::pin::Pin;
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use holdfast_consensus::{
    AuthenticatedPeer, Command, ConnectError, Groups, Hibernation, MachineError, Member, Options, PeerAuth,
    PeerConnector, PeerDirectory, PeerId, PeerTarget, Pin as KeyPin, SnapshotView, StateMachine,
};
use holdfast_domain::{GroupId, NodeId, ReplicaId, SpkiHash, UnixMs};
use holdfast_keys::LocalKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};

/// Answers and forgets.
struct Nothing;

impl SnapshotView for Nothing {
    fn write_to(self: Box<Self>, _out: &mut dyn Write) -> Result<(), MachineError> {
        Ok(())
    }
}

impl StateMachine for Nothing {
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(None)
    }

    fn apply(&mut self, commands: &[Command<'_>], _meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        Ok(vec![Vec::new(); commands.len()])
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError> {
        Ok(Box::new(Self))
    }

    fn install(&mut self, _snapshot: &mut dyn Read, _meta: &[u8]) -> Result<(), MachineError> {
        Ok(())
    }
}

/// A connection from the process whose port it came to: without TLS, a port for each caller stands for its identity.
struct Io(TcpStream, AuthenticatedPeer);

impl Connected for Io {
    type ConnectInfo = AuthenticatedPeer;

    fn connect_info(&self) -> AuthenticatedPeer {
        self.1
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct Auth;

impl PeerAuth for Auth {
    fn authenticate(&self, extensions: &tonic::Extensions) -> Option<AuthenticatedPeer> {
        extensions.get::<AuthenticatedPeer>().copied()
    }
}

struct Known;

impl PeerDirectory for Known {
    fn member(&self, _group: GroupId, replica: ReplicaId) -> Option<Member> {
        Some(member(u8::try_from(replica.0 % 10).unwrap()))
    }
}

struct Dialer(u8);

impl PeerConnector for Dialer {
    fn connect(&self, target: PeerTarget) -> BoxFuture<'static, Result<Channel, ConnectError>> {
        let to: u16 = target.address.parse().unwrap();
        let uri = format!("http://127.0.0.1:{}", port(u8::try_from(to).unwrap(), self.0));
        Box::pin(async move {
            let endpoint = Endpoint::from_shared(uri).unwrap().tcp_nodelay(true);
            endpoint
                .connect()
                .await
                .map_err(|source| ConnectError { target: target.id, source: source.into() })
        })
    }
}

fn port(to: u8, from: u8) -> u16 {
    47_100 + u16::from(to) * 10 + u16::from(from)
}

fn member(node: u8) -> Member {
    Member { node: NodeId::new([node; 16]), address: node.to_string(), pin: KeyPin::Certificate }
}

fn replica(group: u32, node: u8) -> ReplicaId {
    ReplicaId(u64::from(group) * 10 + u64::from(node))
}

async fn listen(groups: &Groups, me: u8, from: u8) {
    let listener = TcpListener::bind(("127.0.0.1", port(me, from))).await.unwrap();
    let id = PeerId::Node(NodeId::new([from; 16]));
    let peer = AuthenticatedPeer { id, spki: SpkiHash::new([from; 32]), not_after: UnixMs(u64::MAX) };
    let incoming = futures::stream::unfold(listener, move |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| {
            stream.set_nodelay(true).unwrap();
            Io(stream, peer)
        });
        Some((accepted, listener))
    });
    let service = groups.service(Arc::new(Auth));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(Box::pin(incoming)));
}

/// One of the three processes: does what it reads, line by line.
async fn node(me: u8, groups: u32, hibernation: Hibernation) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { hibernation, ..Options::new(dir.path()) };
    let hosted = Groups::open(options, LocalKey::from_bytes([me; 32]), Arc::new(Dialer(me)), Arc::new(Known))
        .await
        .unwrap();
    for from in (1..=3).filter(|from| *from != me) {
        listen(&hosted, me, from).await;
    }
    for group in 1..=groups {
        let started = hosted.start(GroupId(group), replica(group, me), Box::new(Nothing)).await.unwrap();
        let members: BTreeMap<_, _> = (1..=3).map(|node| (replica(group, node), member(node))).collect();
        started.bootstrap(members).await.unwrap();
    }
    println!("ready");
    let lines = io::stdin().lines().map_while(Result::ok);
    for line in lines {
        let answer = match line.split_once(' ') {
            None if line == "sleeping" => {
                hosted.running().iter().filter(|group| group.status().sleeping).count().to_string()
            }
            None if line == "led" => {
                hosted.running().iter().filter(|group| group.leading_term().is_some()).count().to_string()
            }
            None if line == "cpu" => cpu_ms().to_string(),
            Some(("put", group)) => {
                let group = hosted.get(GroupId(group.parse().unwrap())).unwrap();
                let started = Instant::now();
                group.propose(vec![7; 256]).await.unwrap();
                started.elapsed().as_micros().to_string()
            }
            _ => break,
        };
        println!("{answer}");
    }
    std::process::exit(0);
}

/// Processors' time of this process.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in hundredths of a second.
    fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(number: u8, groups: u32, hibernate: bool) -> Self {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["node", &number.to_string(), &groups.to_string(), &hibernate.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ask(&mut self, question: &str) -> u64 {
        writeln!(self.input, "{question}").unwrap();
        self.line().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(120), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("{what}: {:.1} s", started.elapsed().as_secs_f64());
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, number, groups, hibernate] = args.as_slice()
        && role == "node"
    {
        let after = Hibernation::After(Duration::from_secs(5));
        let hibernation = if hibernate == "true" { after } else { Hibernation::Never };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(node(number.parse().unwrap(), groups.parse().unwrap(), hibernation));
    }
    let groups: u32 = args.first().map_or(200, |groups| groups.parse().unwrap());
    let seconds: u64 = args.get(1).map_or(20, |seconds| seconds.parse().unwrap());
    let hibernate = args.get(2).is_none_or(|never| never != "never");

    let mut nodes: Vec<_> = (1..=3).map(|number| Running::start(number, groups, hibernate)).collect();
    for node in &mut nodes {
        assert_eq!(node.line(), "ready");
    }
    until("every group has a leader", || {
        nodes.iter_mut().map(|node| node.ask("led")).sum::<u64>() == u64::from(groups)
    });
    if hibernate {
        until("every group sleeps", || {
            let asleep: Vec<u64> = nodes.iter_mut().map(|node| node.ask("sleeping")).collect();
            asleep.iter().all(|asleep| *asleep == u64::from(groups))
        });
    }
    let before: u64 = nodes.iter_mut().map(|node| node.ask("cpu")).sum();
    let started = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let used: u64 = nodes.iter_mut().map(|node| node.ask("cpu")).sum::<u64>() - before;
    let share = Duration::from_millis(used).as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    println!("{groups} idle groups, 3 processes: {share:.1} % of one core over {seconds} s");

    let mut puts: Vec<u64> =
        (1..=groups.min(100)).map(|group| nodes[0].ask(&format!("put {group}"))).collect();
    puts.sort_unstable();
    let ms = |part: usize| Duration::from_micros(puts[(puts.len() - 1) * part / 100]).as_secs_f64() * 1e3;
    println!("first put: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", ms(50), ms(99), ms(100));
}
