//! From replica to replica: leaders that die, maps that change, slots that move, writes that are repeated.

use std::collections::BTreeSet;

use holdfast_domain::{GroupId, NodeId};
use proptest::prelude::*;

use super::{
    fakes::{FIRST, node},
    *,
};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

impl Bench {
    /// One group of three, led by the first.
    async fn of_three() -> Self {
        let bench = Self::new().await;
        bench.fake.add_node(node(2), ONE).await;
        bench.fake.add_node(node(3), ONE).await;
        bench.fake.state().epoch += 1;
        bench.usage().await.unwrap();
        bench.fake.state().asked.clear();
        bench
    }

    async fn usage(&self) -> Result<crate::files::Usage, Error> {
        self.files().usage().await
    }

    fn leads(&self, leader: NodeId) {
        self.fake.state().leads.insert(ONE, leader);
    }

    fn asked(&self) -> Vec<NodeId> {
        std::mem::take(&mut self.fake.state().asked)
    }

    /// Command ids of the calls so far.
    fn commands(&self) -> BTreeSet<Vec<u8>> {
        std::mem::take(&mut self.fake.state().commands).into_iter().collect()
    }
}

#[tokio::test]
async fn a_hint_leads_to_the_leader_and_is_remembered() {
    let bench = Bench::of_three().await;
    bench.leads(node(3));
    bench.put(b"x").await.unwrap();
    assert_eq!(bench.asked(), [FIRST, node(3)]);
    bench.put(b"y").await.unwrap();
    assert_eq!(bench.asked(), [node(3)]);
}

#[tokio::test]
async fn a_write_survives_its_leader_and_keeps_its_command() {
    let bench = Bench::of_three().await;
    bench.fake.state().commands.clear();
    bench.fake.kill(FIRST).await;
    // The others still believe in the dead one for a while.
    let (fake, began) = (bench.fake.clone(), std::time::Instant::now());
    let elected = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        fake.state().leads.insert(ONE, node(2));
    });
    bench.put(b"x").await.unwrap();
    elected.await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1_200), "{:?}", began.elapsed());
    assert_eq!(bench.commands().len(), 1);
    assert_eq!(bench.get().await.unwrap(), b"x");
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_applied_once() {
    let bench = Bench::of_three().await;
    bench.fake.state().commands.clear();
    bench.fake.fail_with([Fault::LoseReply, Fault::LoseReply]);
    bench.put(b"x").await.unwrap();
    assert!(bench.calls("put_small") >= 3);
    assert_eq!(bench.fake.state().applied.len(), 1);
}

#[tokio::test]
async fn a_silent_leader_is_left_after_some_seconds() {
    let bench = Bench::of_three().await;
    bench.fake.fail_with([Fault::Hang]);
    let began = std::time::Instant::now();
    bench.usage().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let asked = bench.asked();
    assert_eq!(asked[0], FIRST);
    assert_ne!(asked[1], FIRST);
}

#[tokio::test]
async fn a_stale_read_is_answered_without_a_leader_and_a_write_is_not() {
    let bench = Bench::of_three().await;
    bench.fake.state().leads.clear();
    let within = Duration::from_secs(10);
    bench.fake.state().staleness.clear();
    bench.files().stale_ok(within).usage().await.unwrap();
    assert_eq!(std::mem::take(&mut bench.fake.state().staleness), [10_000]);
    let fake = bench.fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fake.state().leads.insert(ONE, node(2));
    });
    let files = bench.files().stale_ok(within);
    files.put(&name("n"), &bench.local("source", b"x"), &|_| ()).await.unwrap();
    assert!(bench.fake.state().staleness.iter().all(|staleness| *staleness == 0), "writes are never stale");
}

#[tokio::test]
async fn stale_reads_are_spread_over_the_replicas() {
    let bench = Bench::of_three().await;
    let files = bench.files().stale_ok(Duration::from_secs(1));
    for _ in 0..40 {
        files.usage().await.unwrap();
    }
    let asked: BTreeSet<_> = bench.asked().into_iter().collect();
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_map_too_large_for_a_refusal_comes_from_the_node() {
    let bench = Bench::of_three().await;
    let (resolved, registry) = (bench.calls("resolve"), bench.fake.registry_address());
    bench.fake.stop(&registry).await;
    bench.fake.state().map_is_large = true;
    bench.fake.fail_with([Fault::StaleMap]);
    bench.put(b"x").await.unwrap();
    assert_eq!((bench.calls("resolve"), bench.calls("newest")), (resolved, 1));
    assert_eq!(bench.client.info().map_epoch.0, 3);
}

#[tokio::test]
async fn while_slots_move_both_groups_are_asked_and_the_new_one_serves_before_the_map_says_so() {
    let bench = Bench::new().await;
    bench.fake.add_node(node(7), TWO).await;
    {
        let mut state = bench.fake.state();
        state.moving_to = Some(TWO);
        state.epoch += 1;
        state.leads.insert(TWO, node(7));
    }
    bench.put(b"before").await.unwrap();
    // Frozen: nobody serves for a moment.
    bench.fake.state().serving = GroupId(9);
    let (fake, began) = (bench.fake.clone(), std::time::Instant::now());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        fake.state().serving = TWO;
    });
    bench.put(b"after").await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(350), "{:?}", began.elapsed());
    assert_eq!(bench.fake.state().asked.last(), Some(&node(7)));
}

#[tokio::test]
async fn a_group_whose_nodes_are_all_new_is_found_while_the_registry_is_away() {
    let bench = Bench::of_three().await;
    let registry = bench.fake.registry_address();
    bench.fake.stop(&registry).await;
    // Two moved away, and the map that the client has names them still.
    bench.fake.add_node(node(8), ONE).await;
    {
        let mut state = bench.fake.state();
        state.epoch += 1;
        state.leads.insert(ONE, node(8));
    }
    bench.fake.kill(FIRST).await;
    bench.fake.kill(node(2)).await;
    bench.put(b"x").await.unwrap();
    assert_eq!(bench.asked().last(), Some(&node(8)));
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let passing =
        [Reason::NoQuorum, Reason::NotReady, Reason::NotLeader, Reason::Overloaded, Reason::Conflict];
    let fault = prop_oneof![
        prop::sample::select(passing.to_vec()).prop_map(Fault::Refuse),
        Just(Fault::StaleMap),
        Just(Fault::LoseReply),
    ];
    prop::collection::vec(fault, 0..5)
}

/// Whatever goes wrong on the way, one operation has one command id and takes effect once.
#[test]
fn invariant_an_operation_never_has_two_command_ids() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::of_three());
    proptest!(ProptestConfig::with_cases(24), |(faults in faults(), leader in 0usize..3)| {
        bench.leads([FIRST, node(2), node(3)][leader]);
        bench.commands();
        let before = bench.fake.state().applied.len();
        bench.fake.fail_with(faults);
        runtime.block_on(bench.put(b"x")).unwrap();
        bench.fake.state().faults.clear();
        prop_assert_eq!(bench.commands().len(), 1);
        prop_assert_eq!(bench.fake.state().applied.len(), before + 1);
    });
}
