//! Ctrl-C: the terminal tells the run and everything that it started. Nothing of it may be left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use holdfast_integration_tests::{binaries::Binaries, wait};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::tempdir;

/// Longer than a run waits for its orderly end.
const END: Duration = Duration::from_secs(10);

/// Programs that were told of this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder)).collect()
}

/// Namespaces, links and bridges of a run.
fn networks_of(run: u32) -> Vec<String> {
    let (own, mut found) = (format!("hfx{run}b"), Vec::new());
    for folder in ["/run/netns", "/sys/class/net"] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(names.filter(|name| name.starts_with(&own)));
    }
    found
}

#[test]
fn an_interrupted_run_leaves_no_process_and_no_network() {
    let dir = tempdir().unwrap();
    let folder = dir.path().join("run");
    let program = Binaries::find().unwrap().folder().join("holdfast-chaos");
    for (moment, signal) in [(1, Signal::INT), (3, Signal::TERM)] {
        let mut run = Command::new(&program)
            .args(["--minutes", "1", "--seed", "1", "--dir"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let servers = || processes_of(&folder).iter().filter(|line| line.contains(" run ")).count();
        wait::until(Duration::from_secs(60), "servers", || Ok((servers() >= moment).then_some(()))).unwrap();
        let group = Pid::from_child(&run);
        kill_process_group(group, signal).unwrap();
        let ended = wait::until(END, "the end of the run", || Ok(run.try_wait()?));
        let ended = ended.unwrap_or_else(|error| {
            let _ = kill_process_group(group, Signal::KILL);
            panic!("{error:#}: {:?}", processes_of(&folder))
        });
        assert_eq!(ended.code(), Some(130));
        let gone =
            || Ok((processes_of(&folder).is_empty() && networks_of(run.id()).is_empty()).then_some(()));
        wait::until(Duration::from_secs(5), "the end of everything", gone)
            .unwrap_or_else(|_| panic!("{:?} {:?}", processes_of(&folder), networks_of(run.id())));
    }
}
