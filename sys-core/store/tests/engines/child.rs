//! The process that is killed: this test binary again, running one ignored test.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use holdfast_domain::{UnixMs, UploadId};
use holdfast_store::{
    SegmentStore, abort_on_failed_sync,
    segments::{ChunkId, ChunkState, NewChunk, SegmentOptions},
};

use crate::{kinds::Kind, workload};

/// Says what the child has to do; absent in ordinary runs.
const TASK: &str = "HOLDFAST_CRASH_CHILD";

/// What the child may acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledge {
    /// What a barrier made durable: what programs do.
    AfterBarrier,
    /// What was written and not synced: the bug that the harness must find.
    AfterWrite,
}

/// A child at work; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Worker {
    pub(crate) fn engine(kind: Kind, path: &Path, seed: u64, first: u64, acknowledge: Acknowledge) -> Self {
        Self::start(&format!("engine\t{kind:?}\t{}\t{seed}\t{first}\t{acknowledge:?}", path.display()))
    }

    pub(crate) fn segments(path: &Path, seed: u64, first: u64) -> Self {
        Self::start(&format!("segments\t{}\t{seed}\t{first}", path.display()))
    }

    pub(crate) fn failing_sync(path: &Path) -> Self {
        Self::start(&format!("failing-sync\t{}", path.display()))
    }

    fn start(task: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child::child_process", "--ignored", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next acknowledged number, or `None` when the child has ended.
    pub(crate) fn acknowledged(&mut self) -> Option<u64> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("ack ")?.parse().ok())
    }

    /// Lets the child run no further; system calls that it is in go on.
    pub(crate) fn stop(&self) {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::STOP,
        )
        .unwrap();
    }

    /// kill -9, after which everything that was acknowledged is read from the pipe.
    pub(crate) fn kill(&mut self, mut last: u64) -> u64 {
        self.child.kill().unwrap();
        while let Some(acknowledged) = self.acknowledged() {
            last = acknowledged;
        }
        self.child.wait().unwrap();
        last
    }

    /// Waits for the child to end by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "not a test: the process that crash tests start and kill"]
fn child_process() {
    let Ok(task) = env::var(TASK) else { return };
    let fields: Vec<&str> = task.split('\t').collect();
    match fields[..] {
        ["engine", kind, path, seed, first, acknowledge] => {
            let numbers = [seed, first].map(|number| number.parse().unwrap());
            let after_barrier = acknowledge == format!("{:?}", Acknowledge::AfterBarrier);
            write_batches(kind.parse().unwrap(), Path::new(path), numbers, after_barrier);
        }
        ["segments", path, seed, first] => {
            write_chunks(Path::new(path), seed.parse().unwrap(), first.parse().unwrap());
        }
        ["failing-sync", path] => sync_until_it_fails(Path::new(path)),
        _ => panic!("unknown task {task}"),
    }
}

fn acknowledge(n: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {n}").unwrap();
    out.flush().unwrap();
}

fn write_batches(kind: Kind, path: &Path, [seed, first]: [u64; 2], after_barrier: bool) {
    let engine = kind.open(path).unwrap();
    acknowledge(first - 1);
    for n in first.. {
        engine.write(workload::batch(seed, n)).unwrap();
        if !after_barrier {
            acknowledge(n);
        } else if n % 7 == 0 {
            engine.barrier().unwrap();
            acknowledge(n);
        }
    }
}

/// Chunk `n` of a seed.
pub(crate) fn chunk(seed: u64, n: u64) -> (NewChunk, Vec<u8>) {
    let mut draw = workload::Draw::new(seed ^ n);
    let len = [40, 5000, 256 * 1024 + 40][usize::try_from(draw.below(3)).unwrap()];
    let mut sealed = vec![u8::try_from(draw.below(255) + 1).unwrap(); len];
    sealed[..8].copy_from_slice(&n.to_be_bytes());
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let upload = UploadId::new([u8::try_from(n / 8 % 256).unwrap(); 16]);
    let state = ChunkState::Staged;
    (
        NewChunk { id: ChunkId(id), upload, index: u32::try_from(n).unwrap(), state, staged_at: UnixMs(0) },
        sealed,
    )
}

/// Four at a time, as uploads come: each waits for the group's sync.
fn write_chunks(path: &Path, seed: u64, first: u64) {
    let options =
        SegmentOptions { segment_bytes: 4 * 1024 * 1024, reserve_bytes: 0, ..SegmentOptions::default() };
    let store = SegmentStore::open(path, options).unwrap();
    for first in (first..).step_by(4) {
        std::thread::scope(|scope| {
            for n in first..first + 4 {
                let store = &store;
                scope.spawn(move || {
                    let (new, sealed) = chunk(seed, n);
                    let position = store.append(&new, &sealed).unwrap();
                    store.sync(position).unwrap();
                });
            }
        });
        acknowledge(first + 3);
    }
}

fn sync_until_it_fails(path: &Path) {
    let engine = Kind::Sled.open(path).unwrap();
    for n in 1.. {
        let _ = engine.write(workload::batch(1, n));
        let _ = abort_on_failed_sync(engine.barrier());
        acknowledge(n);
    }
}
