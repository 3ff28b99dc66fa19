//! `holdfast client device` and `holdfast client recovery`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use holdfast_domain::{AccountId, ClientId, Reason, RootHash};
use holdfast_keys::{OneTime, OneTimeKind, secret_file::write_secret};
use serde_json::json;

use super::{Place, remember, show};
use crate::{
    Error,
    cli::{
        app::{App, discard_unless_unknown, must_be_new, read_one_time},
        failure::Failure,
        output::remark,
        table::Table,
    },
    config::{ContextKind, RegistryAddress},
    devices::{DeviceList, NewDevice, Preparing, Wish, settle},
    time::rfc3339,
};

/// Largest file with a device's request.
const MAX_WISH_FILE: u64 = 4096;

const REQUEST: &str = "\
A device never shares another one's key: it makes its own, and a device that is in adds it.

Example:
  1. here:             holdfast client device request --registry .. --root-hash .. --account ACCOUNT --out request
  2. carry the file to a device of the account; nothing in it is secret, and compare the key that both show
  3. there:            holdfast client device add request
  4. here, once more:  the command of step 1, which now fetches the certificate
ACCOUNT is what `holdfast client show` prints there.";

const REVOKE: &str = "\
It holds everywhere within two seconds, also for what the key has open. The last key of an account stays: delete the account instead
(`holdfast account delete me`). CLIENT is what `holdfast client device list` prints.

Example:
  holdfast client device revoke CLIENT";

const RECOVERY_NEW: &str = "\
Whoever holds the file can replace all keys of the account by his own, once: print it or put it where you keep such things, away from
this machine. It takes the place of the recovery key before it.

Example:
  holdfast client recovery new --out ./recovery-key";

const RECOVERY_USE: &str = "\
Makes a key on this machine, puts it in place of all others, and replaces the recovery key by a new one: the file that was used is worth
nothing afterwards. When the reply is lost, repeat the command: it goes on with the same keys.

Example:
  holdfast client recovery use --registry r1.example:7000 --root-hash 5f0c.. --account ACCOUNT --recovery-file ./recovery-key --next-out ./recovery-key-2";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeviceCommand {
    /// On a new device: make a key and ask to belong to an account
    #[command(after_help = REQUEST)]
    Request {
        #[command(flatten)]
        place: Place,
        /// The account to belong to
        #[arg(long, value_name = "ACCOUNT")]
        account: AccountId,
        /// File for the request, to be carried to a device of the account
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Add the device that wrote a request to this client's account
    #[command(after_help = REQUEST)]
    Add {
        /// The request
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List the keys of this client's account
    List,
    /// Replace this device's key by a new one
    ///
    /// The old key ends everywhere within two seconds. When the reply is lost, repeat the command: it goes on with the same new key.
    Rotate,
    /// End a key of this client's account
    #[command(after_help = REVOKE)]
    Revoke {
        /// The key's id, or `me` for this device's
        #[arg(value_name = "CLIENT")]
        client: String,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RecoveryCommand {
    /// Make a recovery key for this client's account
    #[command(after_help = RECOVERY_NEW)]
    New {
        /// File for the key, of mode 0600
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// All keys are lost: replace them by one made here
    #[command(after_help = RECOVERY_USE)]
    Use {
        #[command(flatten)]
        place: Place,
        /// The account
        #[arg(long, value_name = "ACCOUNT")]
        account: AccountId,
        /// File with the recovery key, of mode 0600; `-` reads it from standard input
        #[arg(long, value_name = "FILE")]
        recovery_file: PathBuf,
        /// File for the recovery key that takes its place
        #[arg(long, value_name = "FILE")]
        next_out: PathBuf,
    },
}

pub(super) async fn run_device(app: App, command: DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::Request { place, account, out } => request(app, place, account, &out).await,
        DeviceCommand::Add { file } => add(&app, &file).await,
        DeviceCommand::List => list(&app).await,
        DeviceCommand::Rotate => rotate(&app).await,
        DeviceCommand::Revoke { client } => revoke(&app, &client).await,
    }
}

async fn request(mut app: App, place: Place, account: AccountId, out: &Path) -> Result<(), Failure> {
    let target = place.target(&app)?;
    let device = prepare(&app, &target.registries, target.root_hash, &target.dir, account).await?;
    let (wish, client) = (device.wish(), device.description().client);
    match device.complete().await {
        Ok(client) => {
            remember(&mut app, target)?;
            return show(&app, &client.info());
        }
        // Nobody has added it yet.
        Err(Error::Refused { reason: Reason::NotFound, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let text = wish.to_text().map_err(Error::from)?;
    crate::storage::write(out, text.as_bytes()).map_err(Error::from)?;
    let key = wish.key_hash().map_err(|error| Failure::Usage(error.to_string()))?.to_string();
    let human = || {
        format!(
            "Client {client} has the key {key}.\nCarry {} to a device of account {account}, run `holdfast client device add` there before {}, and then this command once more.\n",
            out.display(),
            rfc3339(wish.expires),
        )
    };
    let json = || {
        json!({
            "client": client.to_string(),
            "account": account.to_string(),
            "key": key,
            "request": out,
            "expires": rfc3339(wish.expires),
            "added": false,
        })
    };
    app.output.print(human, json)
}

async fn prepare(
    app: &App,
    registries: &[RegistryAddress],
    root_hash: RootHash,
    dir: &Path,
    account: AccountId,
) -> Result<NewDevice, Failure> {
    let registries = registries.to_vec();
    let device =
        NewDevice::prepare(Preparing { registries, root_hash, account, dir, patience: app.patience }).await?;
    if device.description().account == account {
        return Ok(device);
    }
    Err(Failure::Usage(format!(
        "{} has a key for account {}: give --credential another folder",
        dir.display(),
        device.description().account
    )))
}

async fn add(app: &App, file: &Path) -> Result<(), Failure> {
    let text = crate::storage::read(file, MAX_WISH_FILE).map_err(Error::from)?;
    let bad = |error| Failure::Usage(format!("{}: {error}", file.display()));
    let wish = Wish::parse(&text).map_err(bad)?;
    let key = wish.key_hash().map_err(bad)?;
    app.client().await?.devices().add(&wish).await?;
    let Wish { account, client, .. } = wish;
    app.output.print(
        || format!("Added client {client} with the key {key} to account {account}.\n"),
        || json!({ "added": { "client": client.to_string(), "account": account.to_string(), "key": key.to_string() } }),
    )
}

async fn list(app: &App) -> Result<(), Failure> {
    let client = app.client().await?;
    let own = client.info().description.client;
    let DeviceList { devices, recovery, login } = client.devices().list().await?;
    let human = || {
        let mut table = Table::new(&["CLIENT", "KEY", "REGISTERED", "ENDS", "THIS ONE"]);
        for device in &devices {
            let ends = device.expires.map_or_else(|| "-".to_owned(), rfc3339);
            let here = if device.client == own { "yes" } else { "" };
            let (client, key) = (device.client.to_string(), device.key.to_string());
            table.row([client, key, rfc3339(device.registered), ends, here.to_owned()]);
        }
        let login = login.map_or_else(|| "none".to_owned(), |login| login.to_string());
        let recovery = if recovery { "set" } else { "none; make one: `holdfast client recovery new`" };
        format!("{}recovery key: {recovery}\nlogin: {login}\n", table.render())
    };
    let json = || {
        let rows = devices.iter().map(|device| {
            json!({
                "client": device.client.to_string(),
                "key": device.key.to_string(),
                "registered": rfc3339(device.registered),
                "expires": device.expires.map(rfc3339),
                "own": device.client == own,
            })
        });
        json!({
            "devices": rows.collect::<Vec<_>>(),
            "recovery": recovery,
            "login": login.map(|login| login.to_string()),
        })
    };
    app.output.print(human, json)
}

async fn rotate(app: &App) -> Result<(), Failure> {
    let (_, context) = app.select(ContextKind::Client)?;
    let dir = context.credential.clone();
    // Finishes what an earlier try has left, before anything is opened.
    settle(&dir).map_err(Error::from)?;
    let client = crate::Client::open_offline(context, app.patience)?;
    client.rotate(&dir).await?;
    show(app, &crate::Client::open_offline(context, app.patience)?.info())
}

async fn revoke(app: &App, device: &str) -> Result<(), Failure> {
    let client = app.client().await?;
    let device: ClientId = match device {
        "me" => client.info().description.client,
        id => id.parse().map_err(|error| Failure::Usage(format!("{id}: {error}")))?,
    };
    client.devices().revoke(device).await?;
    app.output.print(
        || format!("Revoked client {device}.\n"),
        || json!({ "revoked": { "client": device.to_string() } }),
    )
}

pub(super) async fn run_recovery(app: App, command: RecoveryCommand) -> Result<(), Failure> {
    match command {
        RecoveryCommand::New { out } => new_recovery(&app, &out).await,
        RecoveryCommand::Use { place, account, recovery_file, next_out } => {
            use_recovery(app, place, account, &recovery_file, &next_out).await
        }
    }
}

/// The secret is on disk before its public half is sent, so that none is ever set and lost.
async fn new_recovery(app: &App, out: &Path) -> Result<(), Failure> {
    must_be_new(out)?;
    let client = app.client().await?;
    let secret = OneTime::generate(OneTimeKind::Recovery).map_err(Error::from)?;
    write_secret(out, secret.expose_text().as_bytes()).map_err(Error::from)?;
    if let Err(error) = client.devices().set_recovery(&secret).await {
        let failure = Failure::from(error);
        discard_unless_unknown(&failure, out);
        return Err(failure);
    }
    remark(&format!("{} is a secret: keep it away from this machine.", out.display()));
    let account = client.info().description.account;
    app.output.print(
        || format!("Account {account} has a new recovery key.\n"),
        || json!({ "recovery": { "account": account.to_string(), "file": out } }),
    )
}

async fn use_recovery(
    mut app: App,
    place: Place,
    account: AccountId,
    file: &Path,
    next_out: &Path,
) -> Result<(), Failure> {
    let target = place.target(&app)?;
    let used = read_one_time(file, OneTimeKind::Recovery)?;
    // One that an earlier try has left goes on: it may be the account's already.
    let next = if next_out.symlink_metadata().is_ok() {
        read_one_time(next_out, OneTimeKind::Recovery)?
    } else {
        let next = OneTime::generate(OneTimeKind::Recovery).map_err(Error::from)?;
        write_secret(next_out, next.expose_text().as_bytes()).map_err(Error::from)?;
        next
    };
    let device = prepare(&app, &target.registries, target.root_hash, &target.dir, account).await?;
    device.recover(&used, &next).await?;
    let client = device.complete().await?;
    remember(&mut app, target)?;
    remark(&format!(
        "All other keys of the account have ended. {} is worth nothing any more; keep {} in its place.",
        file.display(),
        next_out.display()
    ));
    show(&app, &client.info())
}
