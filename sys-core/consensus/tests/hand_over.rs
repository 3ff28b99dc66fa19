//! A leader that stops hands over: soon, to who can, and without a word of alarm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests only")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_domain::GroupId;
use support::{Net, leader, three};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const GROUP: GroupId = GroupId(1);

/// What is logged at the level of errors, by all of this file's one test.
#[derive(Clone, Default)]
struct Alarms(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Alarms {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Alarms {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_stop_under_load_hand_over_quickly_and_quietly() {
    let alarms = Alarms::default();
    tracing_subscriber::registry()
        .with(tracing_subscriber::filter::LevelFilter::ERROR)
        .with(tracing_subscriber::fmt::layer().with_writer(alarms.clone()))
        .init();
    for round in 0..4 {
        let mut nodes = three(&Net::default(), &[1, 2, 3]).await;
        for group in [1, 2, 3] {
            leader(&nodes, group).await;
        }
        let at = leader(&nodes, 1).await;
        let stopping = nodes.remove(at);
        let handles: Vec<_> = nodes.iter().map(|node| node.groups.get(GROUP).unwrap()).collect();
        let stopped = stopping.groups.get(GROUP).unwrap();
        let load = handles.iter().cloned().chain([stopped]).map(|group| {
            tokio::spawn(async move {
                for n in 0..2_000_u32 {
                    let (put, read) =
                        tokio::join!(group.propose(n.to_be_bytes().to_vec()), group.read_index());
                    if put.is_err() || read.is_err() {
                        return;
                    }
                }
            })
        });
        let load: Vec<_> = load.collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = Instant::now();
        stopping.groups.shutdown().await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        let started = Instant::now();
        handles[0].propose(b"after".to_vec()).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
        // All at once: nobody is left to take over.
        futures::future::join_all(nodes.iter().map(|node| node.groups.shutdown())).await;
        for task in load {
            task.abort();
        }
        let alarms = String::from_utf8(alarms.0.lock().unwrap().clone()).unwrap();
        assert!(alarms.is_empty(), "round {round}: {alarms}");
    }
}
