//! Records everything that crosses the loopback interface at our ports, to look for what must not be there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{ports::SERVERS, process, wait};

/// Kernel buffer in KiB: a burst must not be lost while the disk is busy.
const BUFFER_KIB: &str = "262144";

/// A running `tcpdump`.
#[derive(Debug)]
pub struct Recorder {
    child: Child,
    file: PathBuf,
    log: PathBuf,
}

/// What was recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The capture.
    pub file: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// Packets that the kernel could not keep.
    pub lost: u64,
}

impl Recorder {
    /// Records all TCP traffic of our servers' ports into `file`.
    ///
    /// # Errors
    /// Not root, or no `tcpdump`.
    pub fn start(file: &Path, log: &Path) -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            bail!("recording traffic needs root: run `sudo make demo`");
        }
        let filter = format!("tcp portrange {}-{}", SERVERS.start, SERVERS.end - 1);
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "tcpdump", "-i", "lo", "-n", "-s", "0", "-U", "-Z", "root"])
            .args(["-B", BUFFER_KIB, "-w"])
            .arg(file)
            .arg(filter)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(process::append(log)?)
            .spawn()
            .context("starting tcpdump: install the package `tcpdump`")?;
        let recorder = Self { child, file: file.to_owned(), log: log.to_owned() };
        wait::until(Duration::from_secs(10), "tcpdump", || {
            Ok(process::tail(log).contains("listening on").then_some(()))
        })
        .with_context(|| process::tail(log))?;
        Ok(recorder)
    }

    /// Stops and says what there is.
    ///
    /// # Errors
    /// `tcpdump` failed meanwhile.
    pub fn stop(mut self) -> anyhow::Result<Recording> {
        self.interrupt()?;
        let wait = || Ok(self.child.try_wait()?);
        let status = wait::until(Duration::from_secs(30), "the end of tcpdump", wait)?;
        let said = fs::read_to_string(&self.log).context("tcpdump's log")?;
        if !status.success() {
            bail!("tcpdump ended with {status}: {}", process::tail(&self.log));
        }
        let (packets, lost) = (count(&said, "packets captured")?, count(&said, "packets dropped by kernel")?);
        Ok(Recording { file: self.file.clone(), packets, lost })
    }

    fn interrupt(&self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("process id")?;
        kill_process(id, Signal::INT).context("stopping tcpdump")
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The number before a phrase.
fn count(text: &str, phrase: &str) -> anyhow::Result<u64> {
    let line = text.lines().rev().find_map(|line| line.strip_suffix(phrase));
    line.map(str::trim).and_then(|number| number.parse().ok()).with_context(|| format!("no `{phrase}`"))
}
