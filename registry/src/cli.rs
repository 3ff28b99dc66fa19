//! The command line.

mod arguments;
mod output;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use holdfast_certs::read_certificates;
use holdfast_domain::{PendingId, TpmPolicy};
use holdfast_enrol::{machine::Machine, member::read_ticket};
use holdfast_keys::OneTime;
use holdfast_sys_core::telemetry;

use self::{
    arguments::{Arguments, Command, InitArguments, JoinArguments},
    output::{Output, error_text},
};
use crate::{
    config::{Config, DEFAULT_FILTER},
    init::{InitOptions, init},
    join::{JoinOptions, join},
    run,
};

/// Runs the program.
pub fn main() -> ExitCode {
    let Arguments { output, command } = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(output, &error_text(&error)),
    };
    match runtime.block_on(obey(output, command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail(output, &error_text(error.as_ref())),
    }
}

async fn obey(output: Output, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => {
            quiet()?;
            init_cluster(output, arguments).await
        }
        Command::Join(arguments) => {
            quiet()?;
            join_registry(output, arguments).await
        }
        Command::Run { data, config } => {
            let config = Config::load(config.as_deref())?;
            telemetry::init(config.log_format, &config.log_filter)?;
            Ok(run::run(&data, config, shutdown().context("cannot wait for signals")?).await?)
        }
        Command::Ek { tpm } => {
            quiet()?;
            output.ek(Machine::peek(&tpm).await?)
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "holdfast-registry",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}

/// Programs that end by themselves say what they have to say as their result.
fn quiet() -> anyhow::Result<()> {
    Ok(telemetry::init(telemetry::LogFormat::Human, &DEFAULT_FILTER.replace("=info", "=warn"))?)
}

async fn init_cluster(output: Output, arguments: InitArguments) -> anyhow::Result<()> {
    let InitArguments {
        machine,
        trust_domain,
        operator,
        credential,
        shares,
        share_count,
        share_threshold,
        pcrs,
        ek_root,
        admit_virtual_tpms,
    } = arguments;
    let advertise = machine.advertise();
    let tpm_policy = if admit_virtual_tpms { TpmPolicy::AdmitsVirtual } else { TpmPolicy::HardwareOnly };
    let options = InitOptions {
        data: &machine.data,
        tpm: &machine.tpm,
        listen: &machine.listen,
        advertise: &advertise,
        trust_domain,
        operator,
        credential: &credential,
        shares: &shares,
        share_count,
        share_threshold,
        pcrs: pcrs.0,
        tpm_policy,
        ek_roots: read_certificates(&ek_root)?,
        ek_chain: read_certificates(&machine.ek_chain)?,
    };
    let made = init(&options).await?;
    output.init(&options, &made)
}

async fn join_registry(output: Output, arguments: JoinArguments) -> anyhow::Result<()> {
    let JoinArguments { machine, registry, root_hash, ticket_file, wait } = arguments;
    let advertise = machine.advertise();
    let ticket = ticket_file.as_deref().map(read_ticket).transpose()?;
    let tell = |id: PendingId| output.pending(id);
    let options = JoinOptions {
        data: &machine.data,
        tpm: &machine.tpm,
        listen: &machine.listen,
        advertise: &advertise,
        registries: &registry,
        root: root_hash,
        ticket: ticket.as_ref().map(OneTime::seed),
        ek_chain: read_certificates(&machine.ek_chain)?,
        wait: if wait { Some(&tell) } else { None },
    };
    let joined = join(options).await?;
    output.join(&machine.data, &joined)
}

/// Ready when the process is told to stop. From this call on a signal is remembered: one that comes while the voter starts
/// stops it in order too.
fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}
