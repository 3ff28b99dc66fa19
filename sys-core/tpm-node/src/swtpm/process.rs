//! One running `swtpm`, which never outlives us.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::SoftTpmError;

/// Time to open two sockets; far more than needed on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Pairs of ports tried, in case another process takes one between our look and swtpm's.
const PORT_ATTEMPTS: usize = 8;
/// Ports looked at for each of these.
const PAIR_ATTEMPTS: usize = 256;
const POLL: Duration = Duration::from_millis(5);

/// Runs its arguments as a child until that ends or our end of the pipe closes, which also happens when we are killed.
const WATCHDOG: &str =
    r#"exec 3<&0; "$@" </dev/null 3<&- & tpm=$!; (read -r _ <&3; kill "$tpm") 2>/dev/null & wait "$tpm""#;

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts at a free pair of ports.
    pub(super) fn start(state_dir: &Path) -> Result<(Self, u16), SoftTpmError> {
        let mut last = SoftTpmError::Start { log: log_path(state_dir) };
        for _ in 0..PORT_ATTEMPTS {
            let Some(port) = free_pair() else { continue };
            match Self::start_at(state_dir, port) {
                Ok(process) => return Ok((process, port)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts with commands at `port` and control at the next one, which the TCTI expects there.
    pub(super) fn start_at(state_dir: &Path, port: u16) -> Result<Self, SoftTpmError> {
        let pid_file = state_dir.join("swtpm.pid");
        let log = log_path(state_dir);
        drop(std::fs::remove_file(&pid_file));
        let control = port.saturating_add(1);
        let child = Command::new("sh")
            .args(["-c", WATCHDOG, "swtpm-watchdog", "swtpm", "socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={}", state_dir.display()))
            .arg("--server")
            .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
            .arg("--ctrl")
            .arg(format!("type=tcp,port={control},bindaddr=127.0.0.1"))
            .args(["--flags", "not-need-init,startup-clear", "--log"])
            .arg(format!("file={},level=1,truncate", log.display()))
            .arg("--pid")
            .arg(format!("file={}", pid_file.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| SoftTpmError::Program { program: "sh", source })?;
        let mut process = Self { child };
        if process.wait_until_listening(&pid_file) { Ok(process) } else { Err(SoftTpmError::Start { log }) }
    }

    /// swtpm opens both sockets before it writes the file.
    fn wait_until_listening(&mut self, pid_file: &Path) -> bool {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if std::fs::metadata(pid_file).is_ok_and(|file| file.len() > 0) {
                return true;
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing the pipe makes the watchdog kill swtpm and end; then the ports are free again.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn log_path(state_dir: &Path) -> PathBuf {
    state_dir.join("swtpm.log")
}

/// Tries until two neighbours are free: connections that ended a moment ago can hold most ports of a busy machine.
fn free_pair() -> Option<u16> {
    (0..PAIR_ATTEMPTS).find_map(|_| pair_that_is_free())
}

fn pair_that_is_free() -> Option<u16> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let port = first.local_addr().ok()?.port();
    let _second = TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok()?;
    Some(port)
}
