//! A group that moves while machines fail: it always arrives, with everything that was acknowledged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{fs, thread::sleep, time::Duration};

use holdfast_integration_tests::cluster::Cluster;
use tempfile::tempdir;

/// Who dies during a move.
#[derive(Clone, Copy)]
enum Dies {
    Nobody,
    Giver,
    Taker,
}

fn home(cluster: &Cluster, group: u32) -> usize {
    let groups = cluster.groups().unwrap();
    let row = groups.iter().find(|row| row.group == group).unwrap();
    let home = row.home().unwrap();
    cluster.nodes.iter().position(|node| node.node.as_deref() == Some(home)).unwrap()
}

/// Moves the group to the next node; whoever dies does so this long after the order.
fn step(cluster: &mut Cluster, group: u32, dies: Dies, after: Duration) {
    let from = home(cluster, group);
    let to = (from + 1) % cluster.nodes.len();
    let target = cluster.nodes[to].node.clone().unwrap();
    cluster.holdfast().ok(["shard", "move", &group.to_string(), "--to", &target]).unwrap();
    let dead = match dies {
        Dies::Nobody => None,
        Dies::Giver => Some(from),
        Dies::Taker => Some(to),
    };
    if let Some(dead) = dead {
        sleep(after);
        let node = cluster.node(dead).unwrap();
        node.kill().unwrap();
        node.start_and_wait().unwrap();
    }
    cluster.wait_groups_ready().unwrap();
    assert_eq!(home(cluster, group), to);
}

#[test]
fn a_group_arrives_with_its_data_whoever_is_killed_at_whatever_moment() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 3).unwrap();
    // One replica is all there is: losing it on the way would lose everything.
    cluster.create_groups_of(1, 1).unwrap();
    let ann = cluster.add_account("ann", "1GiB").unwrap();
    let group = cluster.groups_of(&[ann.id]).unwrap()[0];
    let (file, got) = (dir.path().join("file"), dir.path().join("got"));
    for round in 0_u8..9 {
        fs::write(&file, vec![round; 600_000]).unwrap();
        let (file, got) = (file.to_str().unwrap(), got.to_str().unwrap());
        let name = format!("from round {round}");
        ann.holdfast().ok(["files", "put", file, "--as", &name]).unwrap();
        let dies = [Dies::Nobody, Dies::Giver, Dies::Taker][usize::from(round % 3)];
        step(&mut cluster, group, dies, Duration::from_millis(60 * u64::from(round)));
        for earlier in 0..=round {
            drop(fs::remove_file(got));
            ann.holdfast().ok(["files", "get", &format!("from round {earlier}"), "--to", got]).unwrap();
            assert_eq!(fs::read(got).unwrap(), vec![earlier; 600_000]);
        }
    }
}
