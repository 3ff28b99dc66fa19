//! Killed without warning, again and again: what was acknowledged is there.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_consensus::Compaction;
use holdfast_domain::GroupId;
use support::{Disk, Net, Node, SOON, members};

const GROUP: GroupId = GroupId(1);
const DIR: &str = "HOLDFAST_TEST_CRASH_DIR";

/// Not a test by itself: the process that is killed. Says which commands are acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    let Some(path) = std::env::var_os(DIR) else { return };
    // Snapshots and purges happen on the way.
    let eager = Compaction { entries: 200, keep: 10, bytes_per_second: u64::MAX };
    let mut node = Node::start_at(1, &Net::default(), eager, Disk::At(path.into())).await;
    let group = node.host(GROUP, 11).await;
    group.bootstrap(members(1, &[1])).await.unwrap();
    group.wait_leading(SOON).await.unwrap();
    let from = node.machines[&GROUP].map.lock().unwrap().len();
    for n in from.. {
        let proposals = (0..4).map(|part| group.propose(format!("{n}/{part}").into_bytes()));
        for applied in futures::future::join_all(proposals).await {
            applied.unwrap();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {n}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            let Some(n) = line.strip_prefix("acknowledged ") else { continue };
            acknowledged.push(n.to_owned());
            seen += 1;
            if seen > 100 + round * 37 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let disk = Disk::At(dir.path().to_owned());
    let mut node = Node::start_at(1, &Net::default(), Compaction::default(), disk).await;
    let group = node.host(GROUP, 11).await;
    tokio::time::timeout(Duration::from_secs(5), group.read_index()).await.unwrap().unwrap();
    assert!(acknowledged.len() > 400);
    for n in acknowledged {
        for part in 0..4 {
            let command = format!("{n}/{part}").into_bytes();
            assert!(node.count(GROUP, &command) >= 1, "command {n}/{part} is lost");
        }
    }
}
