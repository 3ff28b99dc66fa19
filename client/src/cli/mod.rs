//! The `holdfast` program. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the cluster, 4 nobody answered.

mod account;
mod app;
mod audit;
mod authz;
mod capabilities;
mod client;
mod completions;
mod context;
mod failure;
mod files;
mod login;
mod module;
mod node;
mod one_time;
mod operator;
mod organisations;
mod output;
mod pcr;
mod progress;
mod registry;
mod shard;
mod status;
mod table;
mod units;
mod wait;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use app::{App, Globals};
use failure::Failure;

const EXAMPLES: &str = "\
Examples:
  holdfast client init --registry registry.example:7000 --root-hash HASH --invite-file invite
  holdfast files put report.pdf --as reports/2026/report.pdf
  holdfast files get -r reports ./reports
  holdfast operator use ./operator-credential
  holdfast status -o json

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the cluster (the reason's code is printed), 4 nobody answered in time.
Secrets (keys, tickets, invites) are read from files of mode 0600 and written to such files; they are never arguments.";

/// Client and operator of a Holdfast cluster
///
/// Contexts name clusters and credentials, in one configuration file. `holdfast client init` makes a client's context,
/// `holdfast operator use` an operator's. Each command uses the current context if it fits, else the only one that does.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register this machine as a client of an account, and look after its certificate
    #[command(subcommand)]
    Client(client::Command),
    /// Accounts of the cluster: disable, delete, give roles that hold everywhere
    #[command(subcommand)]
    Account(account::Command),
    /// Names and passwords that get a key on any machine: create, sign in, reset
    #[command(subcommand)]
    Login(login::Command),
    /// Files, the account's own or an organisation's: put, get, list, remove
    Files(files::Args),
    /// Organisations: create, show, rename, transfer, delete
    #[command(subcommand)]
    Org(organisations::OrgCommand),
    /// Projects of an organisation: create, list, rename, delete
    #[command(subcommand)]
    Project(organisations::ProjectCommand),
    /// Members of an organisation and its projects: put, list, remove
    #[command(subcommand)]
    Member(organisations::MemberCommand),
    /// What this client may do in a home, and which screens that opens
    Capabilities(capabilities::Args),
    /// How the cluster is, for operators
    Status(status::Args),
    /// Machines: who is in, who waits, who may come, who is banned
    #[command(subcommand)]
    Node(node::Command),
    /// Join tickets: each admits one machine
    #[command(subcommand)]
    Ticket(one_time::TicketCommand),
    /// Invites: each registers one client
    #[command(subcommand)]
    Invite(one_time::InviteCommand),
    /// Shard groups: list, create, move
    #[command(subcommand)]
    Shard(shard::Command),
    /// The registry: promote members, export its state
    #[command(subcommand)]
    Registry(registry::Command),
    /// Boot states: approve PCR values
    #[command(subcommand)]
    Pcr(pcr::Command),
    /// Your operator's credential, and requests that several operators sign
    #[command(subcommand)]
    Operator(operator::Command),
    /// The record of changes of trust
    Audit(audit::Args),
    /// Who may call what
    #[command(subcommand)]
    Authz(authz::Command),
    /// For authors of modules: make a new one
    #[command(subcommand)]
    Module(module::Command),
    /// Contexts: which cluster, as whom
    #[command(subcommand)]
    Context(context::Command),
    /// Completions for your shell, on standard output
    Completions(completions::Args),
}

/// Runs the program on these arguments and says how it ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures, and a closed pipe is none either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::exit::USAGE } else { failure::exit::OK });
        }
    };
    start_log(cli.globals.verbose);
    let format = cli.globals.output;
    match run(cli) {
        Ok(()) => ExitCode::from(failure::exit::OK),
        Err(Failure::Closed) => ExitCode::from(failure::exit::OK),
        Err(failure) => {
            output::remark(failure.render(format).trim_end());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { globals, command } = cli;
    // These need no configuration.
    match &command {
        Command::Completions(args) => return completions::run(args, Cli::command()),
        Command::Authz(command) => return authz::run(globals.output, command),
        Command::Module(command) => return module::run(globals.output, command),
        _ => {}
    }
    let app = App::new(globals)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Start)?;
    runtime.block_on(dispatch(app, command))
}

async fn dispatch(app: App, command: Command) -> Result<(), Failure> {
    match command {
        Command::Client(command) => client::run(app, command).await,
        Command::Account(command) => account::run(&app, command).await,
        Command::Login(command) => login::run(app, command).await,
        Command::Files(args) => files::run(&app, args).await,
        Command::Org(command) => organisations::run_org(&app, command).await,
        Command::Project(command) => organisations::run_project(&app, command).await,
        Command::Member(command) => organisations::run_member(&app, command).await,
        Command::Capabilities(args) => capabilities::run(&app, &args).await,
        Command::Status(args) => status::run(&app, &args).await,
        Command::Node(command) => node::run(&app, command).await,
        Command::Ticket(command) => one_time::run_ticket(&app, command).await,
        Command::Invite(command) => one_time::run_invite(&app, command).await,
        Command::Shard(command) => shard::run(&app, command).await,
        Command::Registry(command) => registry::run(&app, command).await,
        Command::Pcr(command) => pcr::run(&app, command).await,
        Command::Operator(command) => operator::run(app, command).await,
        Command::Audit(args) => audit::run(&app, &args).await,
        Command::Authz(command) => authz::run(app.output, &command),
        Command::Module(command) => module::run(app.output, &command),
        Command::Context(command) => context::run(app, command),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}

/// Warnings always, more on request; on standard error, so that output can be piped.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).without_time();
    // Only the first one in a process can be set: in tests there may be one.
    let _ = log.with_target(verbose > 0).try_init();
}

#[cfg(test)]
mod tests;
