//! `holdfast client`: from an invite to a registered key, and more keys.

mod device;

use std::path::PathBuf;

use clap::Subcommand;
use holdfast_domain::RootHash;
use holdfast_keys::OneTimeKind;
use serde_json::json;

use super::{
    app::{App, read_one_time},
    failure::Failure,
    table::facts,
    units::show_size,
};
use crate::{
    Client, ClientInfo, Error, Registering,
    config::{Context, ContextKind, ContextName, RegistryAddress},
    credential::ClientDescription,
    time::rfc3339,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key, register it with an invite, and remember the cluster as a context
    ///
    /// The key is made here and never leaves this machine. The root hash is the cluster's identity: take it from somebody you
    /// trust, not from the network. When the reply is lost, repeat the command: it goes on with the same key.
    #[command(
        after_help = "Example:\n  holdfast client init --registry r1.example:7000 --registry r2.example:7000 --root-hash 5f0c.. --invite-file ./invite"
    )]
    Init(Init),
    /// Show who this client is, offline
    Show,
    /// Renew the certificate now; every command does so by itself when half of its life is over
    Renew,
    /// The keys of this client's account: one for each device
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// The recovery key of this client's account, for when all devices are lost
    #[command(subcommand)]
    Recovery(device::RecoveryCommand),
}

/// Which cluster, and where a new key goes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Place {
    /// Address of a registry; give several for when one is away
    #[arg(long, required = true, value_name = "HOST:PORT")]
    registry: Vec<RegistryAddress>,
    /// SHA-256 of the cluster's root certificate, 64 hex digits
    #[arg(long, value_name = "HASH")]
    root_hash: RootHash,
    /// Where the key goes [default: a folder of the context's name beside the configuration file]
    #[arg(long, value_name = "DIR")]
    credential: Option<PathBuf>,
}

/// A context that is to be, once its key is known.
struct Target {
    name: ContextName,
    registries: Vec<RegistryAddress>,
    root_hash: RootHash,
    dir: PathBuf,
}

impl Place {
    fn target(self, app: &App) -> Result<Target, Failure> {
        let Self { registry, root_hash, credential } = self;
        let name = match app.context.clone() {
            Some(name) => name,
            None => "client".parse().map_err(|error| Failure::Usage(format!("{error}")))?,
        };
        let dir = credential.unwrap_or_else(|| app.config.dir().join(name.as_str()));
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        let target = Target { name, registries: registry, root_hash, dir };
        refuse_other(app, &target.name, &target.context())?;
        Ok(target)
    }
}

impl Target {
    fn context(&self) -> Context {
        Context {
            kind: ContextKind::Client,
            registries: self.registries.clone(),
            root_hash: self.root_hash,
            credential: self.dir.clone(),
        }
    }
}

/// Keeps the context, which becomes the current one if there is none.
fn remember(app: &mut App, target: Target) -> Result<(), Failure> {
    let context = target.context();
    app.config.put(target.name, context).map_err(Error::from)?;
    app.config.save().map_err(Error::from)?;
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    place: Place,
    /// File with the invite, of mode 0600; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    invite_file: PathBuf,
}

pub(super) async fn run(app: App, command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(init) => register(app, init).await,
        Command::Show => {
            let (_, context) = app.select(ContextKind::Client)?;
            show(&app, &Client::open_offline(context, app.patience)?.info())
        }
        Command::Renew => {
            let (_, context) = app.select(ContextKind::Client)?;
            let mut client = Client::open_offline(context, app.patience)?;
            client.renew().await?;
            show(&app, &client.info())
        }
        Command::Device(command) => device::run_device(app, command).await,
        Command::Recovery(command) => device::run_recovery(app, command).await,
    }
}

async fn register(mut app: App, init: Init) -> Result<(), Failure> {
    let Init { place, invite_file } = init;
    let target = place.target(&app)?;
    let invite = read_one_time(&invite_file, OneTimeKind::Invite)?;
    let registering = Registering {
        registries: target.registries.clone(),
        root_hash: target.root_hash,
        invite: &invite,
        dir: &target.dir,
        patience: app.patience,
    };
    let client = Client::init(registering).await?;
    remember(&mut app, target)?;
    show(&app, &client.info())
}

/// A context's name is taken over only for the same credential.
pub(super) fn refuse_other(app: &App, name: &ContextName, context: &Context) -> Result<(), Failure> {
    match app.config.contexts().get(name) {
        Some(known) if known.credential != context.credential || known.root_hash != context.root_hash => Err(
            Failure::Usage(format!("there is a context {name} already: choose another name with --context")),
        ),
        _ => Ok(()),
    }
}

pub(super) fn show(app: &App, info: &ClientInfo) -> Result<(), Failure> {
    let ClientInfo { description, quota_bytes, not_after, map_epoch } = info;
    let ClientDescription { cluster, trust_domain, root_hash, registries, account, client } = description;
    let human = || {
        facts(&[
            ("client", client.to_string()),
            ("account", account.to_string()),
            ("quota", show_size(*quota_bytes)),
            ("certificate until", rfc3339(*not_after)),
            ("cluster", cluster.to_string()),
            ("trust domain", trust_domain.to_string()),
            ("root hash", root_hash.to_string()),
            ("registries", registries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ])
    };
    let json = || {
        json!({
            "client": client.to_string(),
            "account": account.to_string(),
            "quota_bytes": quota_bytes,
            "not_after_ms": not_after.0,
            "cluster": cluster.to_string(),
            "trust_domain": trust_domain.as_str(),
            "root_hash": root_hash.to_string(),
            "registries": registries.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "map_epoch": map_epoch.0,
        })
    };
    app.output.print(human, json)
}
