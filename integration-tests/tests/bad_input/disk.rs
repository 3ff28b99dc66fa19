//! A full disk below a node.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use holdfast_integration_tests::cluster::Cluster;
use tempfile::tempdir;

use super::{assert_failed, assert_no_panic, assert_there, get, put};

/// What the store keeps free for itself is 160 MiB of these.
const DISK_MIB: usize = 420;
const MIB: usize = 1 << 20;

/// A file system in memory. Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` when this process may not mount.
    fn mount(at: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let options = format!("size={DISK_MIB}m,mode=700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        if status.unwrap().success() {
            return Some(Self(at.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none(), "root in CI cannot mount a tmpfs");
        None
    }

    fn free(&self) -> usize {
        let stat = rustix::fs::statvfs(&self.0).unwrap();
        usize::try_from(stat.f_bavail * stat.f_frsize).unwrap()
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it until this many bytes are free.
    fn fill(&self, leave: usize) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        while let Some(rest) = self.free().checked_sub(leave).filter(|rest| *rest > 0) {
            if ballast.write_all(&vec![7; rest.min(MIB)]).is_err() {
                return;
            }
        }
    }

    fn relieve(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_refuses_writes_by_name_and_loses_nothing() {
    let dir = tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("node-1")) else {
        eprintln!("skipped: this test mounts a small file system, which only root may");
        return;
    };
    let mut cluster = Cluster::start(dir.path(), 1, 1).unwrap();
    assert!(cluster.node(0).unwrap().data().join("folder.toml").starts_with(&disk.0));
    cluster.create_groups(1).unwrap();
    let account = cluster.add_account("ann", "1GiB").unwrap();
    let content = |seed: u8| vec![seed; 3 * MIB];
    let stored = |name: &str, seed| {
        let finished = put(&cluster, &account, name, &content(seed));
        assert_eq!(finished.code, 0, "{}", finished.said());
    };
    stored("before", 1);

    for (round, leave) in [(2, 150 * MIB), (3, 100 * MIB), (4, 8 * MIB)] {
        disk.fill(leave);
        for (name, size) in [("large", 3 * MIB), ("small", 100)] {
            let finished = put(&cluster, &account, name, &vec![9; size]);
            // Between the two thresholds records still go in, as deleting must.
            if finished.code == 0 {
                assert!(size == 100 && leave > 112 * MIB, "{name} was stored with {leave} bytes free");
                continue;
            }
            assert_failed(&finished, &["disk_full"]);
        }
        let missing = get(&cluster, &account, "large").expect_err("never stored");
        assert_failed(&missing, &["not_found"]);
        assert_there(&cluster, &account, "before", &content(1));
        disk.relieve();
        let name = format!("after-{round}");
        stored(&name, round);
        assert_there(&cluster, &account, &name, &content(round));
    }

    cluster.expect_all_running().unwrap();
    filled_by_others_and_restarted(&mut cluster, &disk);
    for (name, seed) in [("before", 1), ("after-2", 2), ("after-3", 3), ("after-4", 4)] {
        assert_there(&cluster, &account, name, &content(seed));
    }
    let finished = put(&cluster, &account, "last", &content(5));
    assert_eq!(finished.code, 0, "{}", finished.said());
    assert_no_panic(&cluster);
}

/// Not a byte is free: the node may end, but only with a reason, and everything is there when there is room again.
fn filled_by_others_and_restarted(cluster: &mut Cluster, disk: &SmallDisk) {
    let node = cluster.node(0).unwrap();
    node.stop().unwrap();
    disk.fill(0);
    node.start().unwrap();
    if node.wait_listening().is_err() {
        let log = node.log_since_start();
        assert!(log.contains("No space left") || log.contains("full"), "{log}");
        node.kill().unwrap();
        disk.relieve();
        node.start_and_wait().unwrap();
    } else {
        disk.relieve();
    }
}
