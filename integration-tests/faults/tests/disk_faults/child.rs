//! The process on the bad disk.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use holdfast_faults::disk::Disk;

use crate::stores::Store;

/// Says what the child has to do; absent in ordinary runs.
const TASK: &str = "HOLDFAST_DISK_CHILD";
/// Longer than any child works.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A child at work; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

/// How a child ended and what it had acknowledged.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) acknowledged: u64,
    /// The last that it said otherwise.
    pub(crate) said: String,
}

impl Ended {
    pub(crate) fn killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    pub(crate) fn aborted(&self) -> bool {
        self.status.signal() == Some(6)
    }
}

impl Worker {
    /// Writes `first`, the next and so on until it ends or is ended.
    pub(crate) fn write(store: Store, disk: &Disk, first: u64) -> Self {
        let environment = disk.environment();
        Self::start(&format!("write\t{store:?}\t{}\t{first}", disk.folder().display()), &environment)
    }

    /// Opens the store as after a start of the machine and says what is wrong, on a good disk.
    pub(crate) fn check(store: Store, folder: &Path, acknowledged: u64) -> Self {
        Self::start(&format!("check\t{store:?}\t{}\t{acknowledged}", folder.display()), &[])
    }

    pub(crate) fn start(task: &str, environment: &[(String, String)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::child_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next thing that it says.
    pub(crate) fn next(&mut self) -> Option<String> {
        let line = |line: String| Some(line.split_once("child says ")?.1.to_owned());
        self.lines.by_ref().map_while(Result::ok).find_map(line)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Reads all that it says until it ends.
    pub(crate) fn end(mut self) -> Ended {
        let (mut acknowledged, mut said) = (0, String::new());
        while let Some(line) = self.next() {
            match line.strip_prefix("ack ") {
                Some(number) => acknowledged = number.parse().unwrap(),
                None => said = line,
            }
        }
        Ended { status: self.child.wait().unwrap(), acknowledged, said }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child tells its parent.
pub(crate) fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild says {what}").unwrap();
    out.flush().unwrap();
}

pub(crate) fn acknowledge(n: u64) {
    say(&format!("ack {n}"));
}

#[test]
#[ignore = "not a test: the process whose disk fails"]
fn child_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    std::thread::spawn(|| {
        std::thread::sleep(TIMEOUT);
        std::process::exit(9);
    });
    let fields: Vec<&str> = task.split('\t').collect();
    match fields[..] {
        ["write", store, folder, first] => {
            let refused = Store::named(store).write(Path::new(folder), first.parse().unwrap());
            say(&refused.to_string());
        }
        ["check", store, folder, acknowledged] => {
            match Store::named(store).check(Path::new(folder), acknowledged.parse().unwrap()) {
                Ok(last) => say(&format!("whole {last}")),
                Err(fault) => say(&fault.to_string()),
            }
        }
        ["time", seconds] => crate::clock::tell(seconds.parse().unwrap()),
        _ => panic!("unknown task {task}"),
    }
}
