//! Slots that move between groups while clients write, on real processes: whatever was acknowledged is there, once, and the pause is short.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use holdfast_client::files::FileName;
use holdfast_domain::Slot;
use holdfast_faults::draw::Draw;
use holdfast_integration_tests::{
    chaos::load::Load,
    cluster::{Account, Cluster},
};
use holdfast_proto::registry::v1::GroupRow;
use tempfile::{TempDir, tempdir};
use tokio::{runtime::Runtime, task::JoinHandle};

/// Accounts in each half of the slots whose calls are written down and judged.
const JUDGED: usize = 3;
/// Accounts in each half whose writes are timed.
const TIMED: usize = 2;
/// How long a client tries a write.
const PATIENCE: Duration = Duration::from_secs(30);

/// A group of three replicas, and accounts all over its slots.
struct World {
    dir: TempDir,
    cluster: Cluster,
    judged: Vec<Account>,
    /// Those of the upper half, which a split moves, come first.
    timed: Vec<Account>,
    group: u32,
}

impl World {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let cluster = Cluster::start(dir.path(), 1, 3).unwrap();
        cluster.create_groups(1).unwrap();
        let id = cluster.export().unwrap().genesis().unwrap().cluster;
        let mut halves = [Vec::new(), Vec::new()];
        for number in 0.. {
            if halves.iter().all(|half: &Vec<Account>| half.len() >= JUDGED + TIMED) {
                break;
            }
            let account = cluster.add_account(&format!("client-{number}"), "1GiB").unwrap();
            let upper = Slot::of_home(id, account.id).number() >= Slot::COUNT / 2;
            halves[usize::from(!upper)].push(account);
        }
        let of = |from: usize, count: usize| {
            halves.iter().flat_map(|half| half[from..from + count].to_vec()).collect::<Vec<_>>()
        };
        let (judged, timed) = (of(0, JUDGED), of(JUDGED, TIMED));
        let group = cluster.groups_of(&[judged[0].id]).unwrap()[0];
        Self { dir, cluster, judged, timed, group }
    }

    /// Which groups serve the judged accounts of the upper and of the lower half.
    fn homes(&self) -> (Vec<u32>, Vec<u32>) {
        let ids: Vec<_> = self.judged.iter().map(|account| account.id).collect();
        let groups = self.cluster.groups_of(&ids).unwrap();
        (groups[..JUDGED].to_vec(), groups[JUDGED..].to_vec())
    }

    fn load(&self, clients_each: u32) -> Load {
        Load::start(&self.cluster, self.judged.clone(), clients_each, &mut Draw::new(7)).unwrap()
    }

    /// What nodes say of hand-overs.
    fn print_pauses(&self) {
        for node in &self.cluster.nodes {
            let log = fs::read_to_string(node.log()).unwrap_or_default();
            log.lines()
                .filter(|line| line.contains("slots taken over"))
                .for_each(|line| println!("  {line}"));
        }
    }
}

/// One writer an account, without pauses: what each of its writes took.
struct Pulse {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<(Instant, Duration)>>>,
}

impl Pulse {
    fn start(world: &World) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for account in &world.timed {
            let _inside = runtime.enter();
            let files = world.cluster.client(account, PATIENCE).unwrap().files();
            let file = world.dir.path().join(format!("pulse-{}", account.context));
            fs::write(&file, b"pulse").unwrap();
            let (stop, name) = (Arc::clone(&stop), FileName::new(b"pulse".to_vec()).unwrap());
            writers.push(runtime.spawn(async move {
                let mut took = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    files.put(&name, &file, &|_| {}).await.expect("a write");
                    took.push((began, began.elapsed()));
                }
                took
            }));
        }
        Self { runtime, stop, writers }
    }

    /// Ends the writers, and prints the longest write of each that began before `until` and ended after `from`.
    fn finish(self, what: &str, from: Instant) {
        self.stop.store(true, Ordering::Relaxed);
        let Self { runtime, writers, .. } = self;
        let mut longest = Vec::new();
        let mut ordinary = Vec::new();
        for (place, writer) in writers.into_iter().enumerate() {
            let took = runtime.block_on(writer).unwrap();
            let after = took.iter().filter(|(began, _)| *began >= from).map(|(_, took)| *took);
            if place < TIMED {
                longest.push(after.max().unwrap_or_default());
            } else {
                ordinary.extend(after);
            }
        }
        ordinary.sort();
        println!(
            "{what}: the longest write of each account that moved took {longest:?}; of those that stayed, median {:?}, longest {:?}",
            ordinary[ordinary.len() / 2],
            ordinary[ordinary.len() - 1],
        );
    }
}

fn has_slots(groups: &[GroupRow], group: u32, slots: u32) -> bool {
    groups.iter().any(|row| row.group == group && row.slots == slots)
}

#[test]
fn a_group_splits_and_merges_back_under_load_and_nothing_is_lost_or_done_twice() {
    let world = World::new();
    let load = world.load(2);
    sleep(Duration::from_secs(3));

    let (pulse, began) = (Pulse::start(&world), Instant::now());
    let to = world.cluster.split(world.group).unwrap();
    world.cluster.wait_slots("a split", |groups| has_slots(groups, to, 2048)).unwrap();
    println!("split after {:?}", began.elapsed());
    sleep(Duration::from_secs(1));
    assert_eq!(world.homes(), (vec![to; JUDGED], vec![world.group; JUDGED]));
    pulse.finish("split", began);
    sleep(Duration::from_secs(3));

    let (pulse, began) = (Pulse::start(&world), Instant::now());
    world.cluster.merge(to, world.group).unwrap();
    world.cluster.wait_slots("a merge", |groups| has_slots(groups, world.group, 4096)).unwrap();
    println!("merged after {:?}", began.elapsed());
    sleep(Duration::from_secs(1));
    pulse.finish("merge", began);
    sleep(Duration::from_secs(3));
    world.print_pauses();

    let counts = load.judge(&world.cluster).unwrap();
    println!("{counts:?}");
    assert!(counts.answered > 300, "too little happened: {counts:?}");
    assert_eq!(world.homes(), (vec![world.group; JUDGED], vec![world.group; JUDGED]));
}

#[test]
fn a_move_goes_on_when_the_leader_of_either_side_is_killed() {
    let mut world = World::new();
    let load = world.load(2);
    sleep(Duration::from_secs(3));
    let mut from = world.group;
    // From one group to the other and back, with another death each time.
    for round in 0..4 {
        let source = from;
        let to = if source == world.group { world.cluster.split(source).unwrap() } else { world.group };
        if source != world.group {
            world.cluster.merge(source, to).unwrap();
        }
        sleep(Duration::from_millis(300 * round));
        let side = if round % 2 == 0 { source } else { to };
        let dead = world.cluster.leader_of(side).unwrap();
        world.cluster.node(dead).unwrap().kill().unwrap();
        sleep(Duration::from_secs(1));
        world.cluster.node(dead).unwrap().start_and_wait().unwrap();
        let slots = if to == world.group { 4096 } else { 2048 };
        world.cluster.wait_slots("slots that arrive", |groups| has_slots(groups, to, slots)).unwrap();
        from = if to == world.group { world.group } else { to };
    }
    println!("{:?}", load.judge(&world.cluster).unwrap());
}

#[test]
fn slots_whose_move_is_given_up_stay_or_go_and_serve() {
    let world = World::new();
    let load = world.load(1);
    sleep(Duration::from_secs(2));
    for round in 0..4u64 {
        let to = world.cluster.split(world.group).unwrap();
        // The new group is founded first; then rows move.
        let moving = || world.cluster.slots().unwrap().slot_moves.iter().any(|row| row.since > 0);
        while !moving() {
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(300 * round));
        drop(world.cluster.give_up_slot_move(world.group));
        let groups = world.cluster.wait_slots("an end", |_| true).unwrap();
        if has_slots(&groups, to, 2048) {
            println!("round {round}: too late to give up");
            world.cluster.merge(to, world.group).unwrap();
            world.cluster.wait_slots("a merge", |groups| has_slots(groups, world.group, 4096)).unwrap();
        } else {
            println!("round {round}: given up");
            assert!(has_slots(&groups, world.group, 4096));
            load.everybody_is_served(&world.cluster, Duration::from_secs(20)).unwrap();
        }
    }
    println!("{:?}", load.judge(&world.cluster).unwrap());
}
