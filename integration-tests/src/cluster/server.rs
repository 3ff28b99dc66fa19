//! One voter or node: its data folder, its TPM and its process.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{START_TIMEOUT, kept::KeptServer};
use crate::{
    cli::Program,
    process::{self, Place, Process},
    tpm::Machine,
    wait,
};

/// What both programs log when they begin to serve.
const SERVES: &str = " serving ";
/// Bytes of a process's log that are looked through.
const MAX_LOG: u64 = 64 << 20;

/// Which program a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `holdfast-registry`.
    Registry,
    /// `holdfast-node`.
    Node,
}

impl Role {
    /// As the command line spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Node => "node",
        }
    }
}

/// A voter or a node.
#[derive(Debug)]
pub struct Server {
    name: String,
    role: Role,
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    place: Place,
    port: u16,
    /// Environment of its process, from its next start on.
    pub environment: Vec<(String, String)>,
    /// Its TPM.
    pub machine: Machine,
    /// Its node id, once it has joined.
    pub node: Option<String>,
    /// Its EK, as operators name it.
    pub ek: String,
    process: Option<Process>,
    /// Where in its log the present process began.
    log_start: u64,
}

impl Server {
    /// A machine that is in no cluster yet, with its TPM switched on.
    ///
    /// # Errors
    /// The program does not read its EK.
    pub fn new(
        name: &str,
        role: Role,
        program: PathBuf,
        folder: &Path,
        port: u16,
        machine: Machine,
    ) -> anyhow::Result<Self> {
        let place = machine.place().clone();
        let log = folder.join("logs").join(format!("{name}.log"));
        let mut server = Self {
            name: name.to_owned(),
            role,
            program,
            data: folder.join(name),
            log,
            place,
            port,
            environment: vec![],
            machine,
            node: None,
            ek: String::new(),
            process: None,
            log_start: 0,
        };
        let tcti = server.machine.tcti();
        let answer = server.cli().json(["ek", "--tpm", &tcti]).context("asking for the EK")?;
        server.ek = answer.get("ek").and_then(|ek| ek.as_str()).context("no EK")?.to_owned();
        Ok(server)
    }

    /// A machine that joined earlier; see [`super::kept`].
    pub(super) fn restored(kept: KeptServer, program: PathBuf, folder: &Path, machine: Machine) -> Self {
        let KeptServer { name, role, port, tpm_port: _, node, ek } = kept;
        let log = folder.join("logs").join(format!("{name}.log"));
        let data = folder.join(&name);
        let (place, environment) = (machine.place().clone(), vec![]);
        let (process, log_start) = (None, 0);
        Self {
            name,
            role,
            program,
            data,
            log,
            place,
            port,
            environment,
            machine,
            node,
            ek,
            process,
            log_start,
        }
    }

    /// Its name in this cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        process::tail(&self.log)
    }

    /// What its present process has logged.
    pub fn log_since_start(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut log = File::open(&self.log)?;
            log.seek(SeekFrom::Start(self.log_start))?;
            let mut text = Vec::new();
            log.take(MAX_LOG).read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        read().unwrap_or_default()
    }

    /// The machine that it runs on.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its process gets a signal.
    ///
    /// # Errors
    /// It does not run, or the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.process.as_mut().context("it does not run")?.signal(signal)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.place.address(), self.port)
    }

    /// Its program, to be run to its end.
    pub fn cli(&self) -> Program {
        Program::new(self.program.clone(), &self.log).at(self.place.clone())
    }

    /// Arguments of `join` that every machine gives.
    ///
    /// # Errors
    /// Its TPM's certificates cannot be read.
    pub fn join_arguments(&self, registries: &[String], root_hash: &str) -> anyhow::Result<Vec<String>> {
        let mut arguments = vec!["join".to_owned()];
        let mut give = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        give("--data", self.data.display().to_string());
        for registry in registries {
            give("--registry", registry.clone());
        }
        give("--root-hash", root_hash.to_owned());
        give("--listen", self.address());
        give("--tpm", self.machine.tcti());
        give("--ek-chain", self.machine.ek_intermediate()?.display().to_string());
        Ok(arguments)
    }

    /// Joins with these arguments added, and takes the node id over.
    ///
    /// # Errors
    /// It is refused.
    pub fn join(&mut self, registries: &[String], root_hash: &str, more: &[&str]) -> anyhow::Result<()> {
        let mut arguments = self.join_arguments(registries, root_hash)?;
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let joined = self.cli().json(arguments).with_context(|| format!("joining {}", self.name))?;
        let node = joined.get("node").and_then(|node| node.as_str()).context("no node id")?;
        self.node = Some(node.to_owned());
        Ok(())
    }

    /// Gives it a configuration file, for its next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configure(&self, text: &str) -> anyhow::Result<()> {
        let file = self.config_file();
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Beside its data folder.
    fn config_file(&self) -> PathBuf {
        self.data.with_extension("toml")
    }

    /// Starts its process.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.start_with(&[])
    }

    /// Starts its process with environment variables.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(&mut self, environment: &[(String, String)]) -> anyhow::Result<()> {
        let data = self.data.display().to_string();
        self.log_start = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        let config = self.config_file();
        let configured = config.display().to_string();
        let mut arguments = vec!["run", "--data", &data];
        if config.is_file() {
            arguments.extend(["--config", &configured]);
        }
        let environment = [&self.environment, environment].concat();
        let process =
            Process::start_at(&self.place, &self.name, &self.program, arguments, &environment, &self.log);
        self.process = Some(process?);
        Ok(())
    }

    /// Starts its process and waits until it listens.
    ///
    /// # Errors
    /// It ends or does not listen in time.
    pub fn start_and_wait(&mut self) -> anyhow::Result<()> {
        self.start()?;
        self.wait_listening()
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// It ends or does not listen in time.
    pub fn wait_listening(&mut self) -> anyhow::Result<()> {
        let (name, address) = (self.name.clone(), self.address());
        let listening = wait::until(START_TIMEOUT, &format!("{name} listening at {address}"), || {
            if !self.is_running() {
                return Ok(Some(false));
            }
            // The socket comes first; that it is served, the log says.
            let serves = self.log_since_start().contains(SERVES);
            Ok((serves && TcpStream::connect(&address).is_ok()).then_some(true))
        });
        if !listening.with_context(|| self.log_tail())? {
            bail!("{name} ended: {}", self.log_tail());
        }
        Ok(())
    }

    /// Ends its process in order; nothing happens when there is none.
    ///
    /// # Errors
    /// It does not end as it should.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.terminate())
    }

    /// Tells its process to end, without waiting.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn begin_stop(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), |process| process.signal(Signal::TERM))
    }

    /// Waits for the end of a process that was told to stop.
    ///
    /// # Errors
    /// It does not end as it should.
    pub fn finish_stop(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.wait_for_order())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// There is no process.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it does not run")?.kill()
    }

    /// Whether its process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Whether its process ended without being told to.
    pub fn ended_by_itself(&mut self) -> bool {
        self.process.is_some() && !self.is_running()
    }

    /// Waits until its process ended by itself.
    ///
    /// # Errors
    /// It goes on.
    pub fn wait_end(&mut self, timeout: Duration) -> anyhow::Result<std::process::ExitStatus> {
        self.process.as_mut().context("it does not run")?.wait(timeout)
    }

    /// The most memory that its process ever held, in bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        self.process.as_ref().context("it does not run")?.peak_memory()
    }

    /// Its process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn process_id(&self) -> anyhow::Result<u32> {
        Ok(self.process.as_ref().context("it does not run")?.id())
    }
}
