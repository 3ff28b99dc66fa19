//! What operators and disks get wrong: each is named with the way out, nothing panics, and nothing is silently wrong.

#![expect(clippy::unwrap_used, reason = "a test file")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skipped and what came of each damage"
)]

mod clock;
mod config;
mod damage;
mod disk;
mod foreign;
mod ports;
mod secrets;

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use holdfast_integration_tests::{
    cli::{Finished, Program},
    cluster::{Account, Cluster, Server},
    wait,
};

/// How long a start that is refused may take, on a machine that is busy compiling.
const END: Duration = Duration::from_secs(30);

/// A program that is ended when it goes on although it should refuse.
fn bounded(program: &Path, cluster: &Path) -> Program {
    Program::new("timeout".into(), &cluster.join("logs/bounded.log"))
        .with_argument("30")
        .with_argument(program.display().to_string())
}

/// That a start ends by itself without success, saying all of these. Returns what it said.
#[track_caller]
fn refused_start(server: &mut Server, named: &[&str]) -> String {
    server.start().unwrap();
    let status = server.wait_end(END).with_context(|| server.log_since_start()).unwrap();
    let log = server.log_since_start();
    server.kill().unwrap();
    assert!(!status.success(), "{} ended with success: {log}", server.name());
    assert_named(&log, named);
    log
}

/// That a message names all of these and is no panic.
#[track_caller]
fn assert_named(text: &str, named: &[&str]) {
    assert!(!text.contains("panicked"), "{text}");
    for name in named {
        assert!(text.contains(name), "`{name}` is not in: {text}");
    }
}

/// That a finished program failed, naming all of these.
#[track_caller]
fn assert_failed(finished: &Finished, named: &[&str]) {
    assert!(finished.code != 0 && finished.code != 124, "{}: {}", finished.command, finished.said());
    assert_named(&finished.said(), named);
}

/// That no server ever panicked.
#[track_caller]
fn assert_no_panic(cluster: &Cluster) {
    for entry in fs::read_dir(cluster.path("logs")).unwrap() {
        let log = fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&log);
        let place = text.find("panicked").map(|at| text.get(at..).unwrap_or_default());
        assert!(place.is_none(), "{}", place.unwrap_or_default().chars().take(500).collect::<String>());
    }
}

/// Stores content under a name.
fn put(cluster: &Cluster, account: &Account, name: &str, content: &[u8]) -> Finished {
    let file = cluster.path("content-to-put");
    fs::write(&file, content).unwrap();
    let file = file.display().to_string();
    account.holdfast().run(["files", "put", &file, "--as", name]).unwrap()
}

/// Asks for content.
fn get(cluster: &Cluster, account: &Account, name: &str) -> Result<Vec<u8>, Finished> {
    let to = cluster.path("content-got");
    drop(fs::remove_file(&to));
    // A group that does not start again is waited for: its node serves the others.
    let finished = account
        .holdfast()
        .run(["--timeout", "3s", "files", "get", name, "-O", &to.display().to_string()])
        .unwrap();
    if finished.code == 0 { Ok(fs::read(&to).unwrap()) } else { Err(finished) }
}

/// That content is there, as soon as the cluster serves.
#[track_caller]
fn assert_there(cluster: &Cluster, account: &Account, name: &str, content: &[u8]) {
    let got = wait::until(END, name, || {
        get(cluster, account, name).map(Some).map_err(|finished| anyhow::anyhow!(finished.said()))
    });
    assert!(got.unwrap() == content, "{name} is silently wrong");
}
