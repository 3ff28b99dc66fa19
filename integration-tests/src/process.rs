//! A program that runs in the background with its log in a file.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_faults::network::Namespace;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Bytes of a log's end that a report shows.
const TAIL: u64 = 4_000;
/// How long a program may take to end on request: it closes its stores.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a program runs.
#[derive(Debug, Clone, Default)]
pub enum Place {
    /// Like this program.
    #[default]
    Here,
    /// On a machine of its own in a network.
    Machine(Namespace),
}

impl Place {
    /// The address at which others reach it.
    pub fn address(&self) -> &str {
        match self {
            Self::Here => "127.0.0.1",
            Self::Machine(namespace) => namespace.address(),
        }
    }

    /// The words before a command line that bring it there.
    pub fn prefix(&self) -> Vec<String> {
        match self {
            Self::Here => vec![],
            Self::Machine(namespace) => {
                vec!["nsenter".to_owned(), format!("--net={}", namespace.handle().display())]
            }
        }
    }

    /// Does something there.
    ///
    /// # Errors
    /// It cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        match self {
            Self::Here => Ok(work()),
            Self::Machine(namespace) => namespace.run(work),
        }
    }
}

/// A running program. Killed when dropped, and also when the thread that started it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output appended to `log`. Call it from a thread that outlives the process.
    ///
    /// # Errors
    /// The program or the log cannot be opened.
    pub fn start<S: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        environment: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_at(&Place::Here, name, program, arguments, environment, log)
    }

    /// The same on any machine.
    ///
    /// # Errors
    /// As before.
    pub fn start_at<S: AsRef<OsStr>>(
        place: &Place,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        environment: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = append(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(place.prefix())
            .arg(program)
            .args(arguments)
            .env("TSS2_LOG", "all+NONE")
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing a log file")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, as a power failure would.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait().context("waiting for a killed process")?;
        Ok(())
    }

    /// SIGTERM, then waits for an orderly end.
    ///
    /// # Errors
    /// It does not end in time or ends with a failure.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        self.wait_for_order()
    }

    /// Waits for the orderly end of a process that was told to stop.
    ///
    /// # Errors
    /// It does not end in time or ends with a failure.
    pub fn wait_for_order(&mut self) -> anyhow::Result<()> {
        let status = self.wait(STOP_TIMEOUT)?;
        if !status.success() {
            bail!("{} ended with {status} on SIGTERM", self.name);
        }
        Ok(())
    }

    /// Any signal.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.is_running() {
            let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            kill_process(id.context("process id")?, signal).context("sending a signal")?;
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let name = self.name.clone();
        wait::until(timeout, &format!("the end of {name}"), || Ok(self.child.try_wait()?))
    }

    /// The most memory that it ever held, in bytes (VmHWM).
    ///
    /// # Errors
    /// It does not run any more.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        peak_memory(self.id())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// VmHWM of a process, in bytes.
///
/// # Errors
/// There is no such process.
pub fn peak_memory(id: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("reading a process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM")?;
    Ok(kilobytes * 1024)
}

/// The end of a text file.
pub fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    read().unwrap_or_else(|error| format!("({}: {error})", path.display()))
}

/// Opens a log for appending, making its folder.
///
/// # Errors
/// The file system refuses.
pub fn append(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("opening {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_on_request_and_its_output_is_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/sleeper.log");
        let script = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.02; done";
        let mut process = Process::start("sleeper", Path::new("/bin/sh"), ["-c", script], &[], &log).unwrap();
        wait::until(Duration::from_secs(5), "hello", || Ok(tail(&log).contains("hello").then_some(())))
            .unwrap();
        assert!(process.is_running() && process.peak_memory().unwrap() > 0);
        process.terminate().unwrap();
        assert!(process.log_tail().contains("bye"));
    }
}
