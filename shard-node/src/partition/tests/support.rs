//! A node with one group, that can be stopped, killed and started again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use holdfast_consensus::{
    ConnectError, Groups, Member, Options, PeerConnector, PeerDirectory, PeerTarget, Pin, Timing,
};
use holdfast_domain::{
    AccountId, ClientId, ClusterId, CommandId, GroupDescriptor, GroupId, Home, KeyGeneration, Lineage,
    MapEpoch, NodeId, ReplicaId, ShardEpoch, ShardMap, Slot, UnixMs,
};
use holdfast_enrol::watch::VerifiedMap;
use holdfast_keys::{Dmk, LocalKey, SoftSigner, labels, sign_value};
use holdfast_store::{
    Engine, SegmentStore, SledEngine, WriteBehind, engine::SledOptions, segments::SegmentOptions,
};
use holdfast_sys_core::{
    Caller,
    clock::Clock,
    gate::HomeAccess,
    module::{Freshness, Partition, PartitionHost, RecordKey, RouteInfo},
};
use tonic::transport::Channel;

use crate::{
    machine::{GroupKeys, GroupState},
    partition::{HostedGroups, MapSource, NodeHost, ShardGroup, tablespace},
};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([1; 16]);
pub(crate) const GROUP: GroupId = GroupId(3);
pub(crate) const ROUTE: RouteInfo =
    RouteInfo { map_epoch: MapEpoch(4), group: GROUP, freshness: Freshness::Newest };
pub(crate) const SOON: Duration = Duration::from_secs(10);

struct Nobody;

impl PeerConnector for Nobody {
    fn connect(&self, target: PeerTarget) -> BoxFuture<'static, Result<Channel, ConnectError>> {
        Box::pin(async move { Err(ConnectError { target: target.id, source: "nobody is there".into() }) })
    }
}

impl PeerDirectory for Nobody {
    fn member(&self, _: GroupId, _: ReplicaId) -> Option<Member> {
        None
    }
}

#[derive(Default)]
pub(crate) struct Map(pub(crate) Mutex<Option<Arc<VerifiedMap>>>);

impl MapSource for Map {
    fn map(&self) -> Option<Arc<VerifiedMap>> {
        self.0.lock().unwrap().clone()
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) groups: Groups,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) shard: Arc<ShardGroup>,
    pub(crate) node: Arc<NodeHost>,
    pub(crate) host: Arc<dyn PartitionHost>,
    pub(crate) map: Arc<Map>,
    /// Added to the clock, in milliseconds.
    pub(crate) later: Arc<AtomicU64>,
}

pub(crate) fn keys() -> GroupKeys {
    GroupKeys::new(CLUSTER, GROUP, KeyGeneration(1), Dmk::from_bytes([9; 32]))
}

pub(crate) fn open_engine(dir: &Path) -> Arc<dyn Engine> {
    let options = SledOptions { cache_bytes: 16 << 20, reserve_bytes: 0, ..SledOptions::default() };
    Arc::new(WriteBehind::over(SledEngine::open(&dir.join("state"), &options).unwrap()).unwrap())
}

impl Node {
    /// Starts from what a folder holds, or anew.
    pub(crate) async fn start(dir: &Path) -> Self {
        let mut options = Options::new(dir.join("raft"));
        let millis = Duration::from_millis;
        options.timing = Timing::new(millis(20), millis(60), millis(120)).unwrap();
        let groups = Groups::open(options, LocalKey::from_bytes([5; 32]), Arc::new(Nobody), Arc::new(Nobody))
            .await
            .unwrap();
        let engine = open_engine(dir);
        let state = GroupState::open(Arc::clone(&engine), keys()).unwrap();
        let raft = groups.start(GROUP, ReplicaId(1), state.machine()).await.unwrap();
        let member = Member { node: NodeId::new([2; 16]), address: "here:1".into(), pin: Pin::Certificate };
        raft.bootstrap(BTreeMap::from([(ReplicaId(1), member)])).await.unwrap();
        raft.wait_leading(SOON).await.unwrap();
        let segments =
            SegmentOptions { reserve_bytes: 0, segment_bytes: 4 << 20, ..SegmentOptions::default() };
        let segments = Arc::new(SegmentStore::open(&dir.join("segments"), segments).unwrap());
        let later = Arc::new(AtomicU64::new(0));
        let clock = {
            let later = Arc::clone(&later);
            Clock::new(move || UnixMs(1_000_000 + later.load(Ordering::Relaxed)))
        };
        let shard = ShardGroup::open(raft, state, segments, clock.clone());
        shard.ensure_slots(&descriptor()).await.unwrap();
        let hosted = Arc::new(HostedGroups::default());
        hosted.insert(Arc::clone(&shard));
        let map = Arc::new(Map::default());
        let node = Arc::new(NodeHost { cluster: CLUSTER, groups: hosted, map: map.clone(), clock });
        let host = node.bind(tablespace(1, "files", "files"));
        Self { groups, engine, shard, node, host, map, later }
    }

    pub(crate) async fn stop(self) {
        self.groups.shutdown().await;
    }

    pub(crate) async fn home(&self, account: u8) -> Arc<dyn Partition> {
        self.host.partition(&access(account, account), ROUTE).await.unwrap()
    }

    pub(crate) fn wait(&self, ms: u64) {
        self.later.fetch_add(ms, Ordering::Relaxed);
    }
}

pub(crate) fn access(client: u8, account: u8) -> HomeAccess {
    HomeAccess::own(&caller(client, account)).unwrap()
}

fn caller(client: u8, account: u8) -> Caller {
    let home = Home { account: account_id(account), quota_bytes: 1 << 30 };
    Caller::Client { client: ClientId::new([client; 16]), home }
}

pub(crate) fn account_id(account: u8) -> AccountId {
    AccountId::new([account; 16])
}

pub(crate) fn descriptor() -> GroupDescriptor {
    let slot = |number| Slot::try_from(number).unwrap();
    GroupDescriptor {
        group: GROUP,
        epoch: ShardEpoch(1),
        slots: vec![(slot(0), slot(4095))],
        replicas: vec![],
    }
}

pub(crate) fn signed_map(epoch: u64, groups: Vec<GroupDescriptor>) -> Arc<VerifiedMap> {
    let signer = SoftSigner::generate().unwrap();
    let map =
        ShardMap { cluster: CLUSTER, lineage: Lineage(0), epoch: MapEpoch(epoch), groups, moves: Vec::new() };
    let signed = sign_value(&signer, labels::SHARD_MAP, &map).unwrap();
    Arc::new(VerifiedMap { signed, map })
}

pub(crate) fn name<const N: usize>(components: [&str; N]) -> RecordKey {
    RecordKey::new(components).unwrap()
}

/// A command id that nobody used.
pub(crate) fn fresh_id() -> CommandId {
    CommandId::new(holdfast_keys::random_array().unwrap())
}

/// What `kill -9` leaves: the files as they are while the node runs.
pub(crate) fn image_of(dir: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    copy(dir, image.path());
    image
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
