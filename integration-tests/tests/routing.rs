//! How calls find their way on real processes: to the leader, past the dead, by old maps and without the registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_client::{
    Client, ErrorKind,
    files::{FileName, Target},
};
use holdfast_domain::{NodeId, Reason, Sha256Hash};
use holdfast_files_api::v1::{PutSmallRequest, StatRequest, files_client::FilesClient};
use holdfast_integration_tests::{
    cluster::{Account, Cluster},
    wait,
};
use holdfast_keys::random_array;
use holdfast_proto::{error_details, module::v1::Route};
use tempfile::{TempDir, tempdir};
use tonic::{Code, Status, transport::Channel};

/// An election and a slow machine fit in; nobody waits for it where all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three nodes with one group of three replicas, and one client of it in this process.
struct World {
    dir: TempDir,
    cluster: Cluster,
    ann: Account,
    client: Client,
    group: u32,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let (cluster, ann) = Cluster::with_account(dir.path(), 3, 1).unwrap();
        let group = cluster.groups_of(&[ann.id]).unwrap()[0];
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = {
            let _entered = runtime.enter();
            cluster.client(&ann, PATIENCE).unwrap()
        };
        runtime.block_on(client.files().usage()).unwrap();
        Self { dir, cluster, ann, client, group, runtime }
    }

    fn leader(&self) -> usize {
        self.cluster.leader_of(self.group).unwrap()
    }

    fn kill(&mut self, node: usize) {
        self.cluster.node(node).unwrap().kill().unwrap();
    }

    fn start(&mut self, node: usize) {
        self.cluster.node(node).unwrap().start_and_wait().unwrap();
    }

    fn put(&self, client: &Client, content: &str) -> Result<(), holdfast_client::Error> {
        let file = self.dir.path().join("content");
        std::fs::write(&file, content).unwrap();
        let name = FileName::new(b"n".to_vec()).unwrap();
        self.runtime.block_on(client.files().put(&name, &file, &|_| ())).map(drop)
    }

    fn get(&self, client: &Client) -> String {
        let (name, target) = (FileName::new(b"n".to_vec()).unwrap(), self.dir.path().join("got"));
        let get = async { client.files().get(&name, Target::File(target.clone()), &|_| ()).await };
        self.runtime.block_on(get).unwrap();
        std::fs::read_to_string(target).unwrap()
    }

    /// Another client of the account, as a program of its own has it.
    fn another(&self, patience: Duration) -> Client {
        let _entered = self.runtime.enter();
        self.cluster.client(&self.ann, patience).unwrap()
    }

    /// The map that clients of the account keep on disk.
    fn map_file(&self) -> PathBuf {
        self.cluster.credential_of(&self.ann.context).join("map")
    }

    fn channel(&self, node: usize) -> Channel {
        self.runtime.block_on(self.cluster.dial(&self.ann, node)).unwrap()
    }

    fn id(&self, node: usize) -> NodeId {
        self.cluster.nodes[node].node.clone().unwrap().parse().unwrap()
    }

    fn route(&self, command: [u8; 16]) -> Route {
        let at = self.runtime.block_on(self.client.resolve()).unwrap();
        Route {
            map_epoch: at.epoch.0,
            group: at.group.0,
            command_id: Bytes::copy_from_slice(&command),
            home: None,
            max_staleness_ms: 0,
        }
    }

    fn put_at(&self, node: usize, route: Route, content: &'static str) -> Result<(), Status> {
        let request = PutSmallRequest {
            route: Some(route),
            name: Bytes::from_static(b"n"),
            data: Bytes::from_static(content.as_bytes()),
            sha256: Bytes::copy_from_slice(Sha256Hash::of(content.as_bytes()).as_bytes()),
        };
        let mut files = FilesClient::new(self.channel(node));
        self.runtime.block_on(files.put_small(request)).map(drop)
    }

    fn stat_at(&self, node: usize, max_staleness_ms: u32) -> Result<u64, Status> {
        let route = Some(Route { max_staleness_ms, ..self.route([9; 16]) });
        let mut files = FilesClient::new(self.channel(node));
        let request = StatRequest { route, name: Bytes::from_static(b"n") };
        self.runtime.block_on(files.stat(request)).map(|reply| reply.into_inner().size)
    }
}

fn refused(status: &Status) -> (Option<Reason>, Option<NodeId>) {
    let details = error_details::decode(status.details());
    let details = details.unwrap_or_else(|| panic!("{status:?}"));
    (details.reason.parse().ok(), details.leader)
}

#[test]
fn replicas_answer_as_they_should_and_clients_find_their_way_past_the_dead() {
    let mut world = World::new();
    let leader = world.leader();
    let [one, other] = [(leader + 1) % 3, (leader + 2) % 3];
    world.put(&world.client, "first").unwrap();

    // Everybody reads, the leader writes, and the others name it.
    for node in 0..3 {
        assert_eq!(world.stat_at(node, 0).unwrap(), 5, "node {node}");
        assert_eq!(world.stat_at(node, 60_000).unwrap(), 5, "node {node}");
    }
    let status = world.put_at(one, world.route([1; 16]), "no").unwrap_err();
    assert_eq!(refused(&status), (Some(Reason::NotLeader), Some(world.id(leader))));
    assert_eq!(status.code(), Code::Unavailable);

    // A write that is repeated at the next leader, whose first reply nobody heard of, is the same write.
    let command = random_array().unwrap();
    world.put_at(leader, world.route(command), "once").unwrap();
    world.put(&world.client, "newer").unwrap();
    world.kill(leader);
    let began = Instant::now();
    world.put(&world.client, "newest").unwrap();
    println!("the next acknowledged write came {:?} after the leader's end", began.elapsed());
    let repeated = [one, other].map(|node| world.put_at(node, world.route(command), "once"));
    let next = match repeated {
        [Ok(()), Err(_)] => one,
        [Err(_), Ok(())] => other,
        answers => panic!("one of the two leads: {answers:?}"),
    };
    assert_eq!(world.get(&world.client), "newest");

    // A client whose leader of the last time is dead, and one that knows of none.
    assert_eq!(world.get(&world.another(PATIENCE)), "newest");

    // Without a majority: nothing is acknowledged, in bounded time; a stale read is answered, a fresh one is not.
    let alone = if next == one { other } else { one };
    world.kill(next);
    for fresh in [true, false] {
        let began = Instant::now();
        let status = match fresh {
            true => world.stat_at(alone, 0).unwrap_err(),
            false => world.put_at(alone, world.route([3; 16]), "no").unwrap_err(),
        };
        assert!(matches!(refused(&status).0, Some(Reason::NoQuorum | Reason::NotLeader)), "{status:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    assert_eq!(world.stat_at(alone, 600_000).unwrap(), 6);
    let error = world.put(&world.another(Duration::from_secs(3)), "no").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let files = world.client.files().stale_ok(Duration::from_secs(600));
    world.runtime.block_on(files.usage()).unwrap();

    world.start(next);
    world.put(&world.client, "with two").unwrap();
    world.start(leader);
    assert_eq!(world.get(&world.client), "with two");
}

#[test]
fn old_maps_lead_there_too_while_the_registry_is_away() {
    let mut world = World::new();
    world.put(&world.client, "first").unwrap();
    let old = std::fs::read(world.map_file()).unwrap();
    world.cluster.add_node().unwrap();
    let leader = world.leader();
    world.cluster.move_replica(world.group, leader, 3).unwrap();
    world.cluster.stop_voters().unwrap();

    // The client in this process has the old map in memory, another one finds it on disk.
    world.put(&world.client, "second").unwrap();
    std::fs::write(world.map_file(), &old).unwrap();
    let another = world.another(PATIENCE);
    let before = another.info().map_epoch;
    assert_eq!(world.get(&another), "second");
    world.put(&another, "third").unwrap();
    let learned = || Ok((another.info().map_epoch > before).then_some(()));
    wait::until(Duration::from_secs(10), "a newer map", learned).unwrap();

    // A leader dies while the registry is away: clients, and a new one with the old map, go on.
    let answers = |node: &usize| world.cluster.nodes[*node].node.is_some() && *node != leader;
    let serving: Vec<usize> = (0..4).filter(answers).collect();
    for node in serving {
        world.kill(node);
        world.put(&world.client, "fourth").unwrap();
        std::fs::write(world.map_file(), &old).unwrap();
        assert_eq!(world.get(&world.another(PATIENCE)), "fourth", "without node {node}");
        world.start(node);
    }
    world.cluster.start_voters().unwrap();
    world.put(&world.client, "fifth").unwrap();
    assert_eq!(world.get(&another), "fifth");
}
