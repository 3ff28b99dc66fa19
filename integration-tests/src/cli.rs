//! Runs a program to its end, and reads what it answers.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::process::{self, Place};

/// Seconds that a program which ends by itself may take.
const PATIENCE: &str = "300";

/// A program with the arguments and environment that all its calls share.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    place: Place,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    log: PathBuf,
}

/// What a finished program left.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub time: Duration,
}

impl Program {
    /// A program whose calls are recorded in `log`.
    pub fn new(path: PathBuf, log: &Path) -> Self {
        Self { path, place: Place::Here, environment: Vec::new(), arguments: Vec::new(), log: log.to_owned() }
    }

    /// The same on another machine.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same with another environment variable.
    #[must_use]
    pub fn with_env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// The same with an argument before all others.
    #[must_use]
    pub fn with_argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The command, for whoever runs it in the background.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = match &*self.place.prefix() {
            [] => Command::new(&self.path),
            [program, first @ ..] => {
                let mut command = Command::new(program);
                command.args(first).arg(&self.path);
                command
            }
        };
        command
            .args(&self.arguments)
            .args(arguments)
            .env("TSS2_LOG", "all+NONE")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end, however that is; one that hangs is killed.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Finished> {
        let plain = self.command(arguments);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE]).arg(plain.get_program()).args(plain.get_args());
        let set = plain.get_envs().filter_map(|(key, value)| Some((key, value?)));
        command.envs(set).stdin(Stdio::null());
        let started = Instant::now();
        let output = command.output().with_context(|| format!("starting {}", self.path.display()))?;
        let finished = Finished::new(&plain, output, started.elapsed());
        self.record(&finished)?;
        Ok(finished)
    }

    /// Runs it and expects success.
    ///
    /// # Errors
    /// It fails.
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        let finished = self.run(arguments)?;
        if finished.code != 0 {
            bail!("`{}` failed with {}: {}", finished.command, finished.code, finished.stderr.trim());
        }
        Ok(finished.stdout)
    }

    /// Runs it with `-o json` and reads the answer.
    ///
    /// # Errors
    /// It fails or answers no JSON.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Value> {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        let text = self.ok(arguments.chain(["-o".into(), "json".into()]))?;
        serde_json::from_str(&text).with_context(|| format!("{}: no JSON: {text}", self.path.display()))
    }

    /// Runs it and expects a refusal with this reason.
    ///
    /// # Errors
    /// It succeeds, or fails for another reason.
    pub fn refused<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        reason: &str,
    ) -> anyhow::Result<Finished> {
        let finished = self.run(arguments)?;
        finished.expect_refusal(reason)?;
        Ok(finished)
    }

    fn record(&self, finished: &Finished) -> anyhow::Result<()> {
        let Finished { command, code, stdout: _, stderr, time } = finished;
        let mut log = process::append(&self.log)?;
        writeln!(log, "[{code}] {} ms  {command}\n{stderr}", time.as_millis()).context("writing a log")
    }
}

impl Finished {
    fn new(command: &Command, output: Output, time: Duration) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            command: words.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            time,
        }
    }

    /// Everything that it said.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// That it failed, saying this reason code.
    ///
    /// # Errors
    /// It succeeded, or says something else.
    pub fn expect_refusal(&self, reason: &str) -> anyhow::Result<()> {
        if self.code == 0 {
            bail!("`{}` succeeded and should have been refused with {reason}", self.command);
        }
        if !self.said().contains(reason) {
            bail!("`{}` was refused, but not with {reason}: {}", self.command, self.said().trim());
        }
        Ok(())
    }

    /// That it failed, naming all of these.
    ///
    /// # Errors
    /// It succeeded, or leaves one of them out.
    pub fn expect_failure(&self, named: &[&str]) -> anyhow::Result<()> {
        named.iter().try_for_each(|name| self.expect_refusal(name))
    }
}
