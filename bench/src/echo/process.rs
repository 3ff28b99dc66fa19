//! The bare echo as a process of its own: what any program with our TLS and tonic takes before it does anything.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// A running echo; it is killed when dropped.
pub(crate) struct EchoProcess {
    child: Child,
    /// From the start of the program until it served.
    pub(crate) started_in: Duration,
}

impl EchoProcess {
    /// Starts one and waits until it serves.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let begin = Instant::now();
        let mut child = Command::new(program)
            .arg("--serve-echo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the echo")?;
        let output = child.stdout.take().context("the echo's output")?;
        // Owned before anything can fail, so that it ends in any case.
        let mut echo = Self { child, started_in: Duration::ZERO };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("the echo's output")?;
        anyhow::ensure!(line.trim() == "serving", "the echo did not start");
        echo.started_in = begin.elapsed();
        Ok(echo)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for EchoProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
