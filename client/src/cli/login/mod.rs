//! `holdfast login`: a name and a password for when the key is lost or elsewhere.

mod secret;

use std::path::PathBuf;

use clap::Subcommand;
use holdfast_domain::{LoginName, RootHash};
use serde_json::json;

use super::{app::App, failure::Failure, table::facts};
use crate::{
    Client, Error,
    config::{Context, ContextKind, RegistryAddress},
    login::{LoginInfo, SigningIn, Stranger},
    time::rfc3339,
};

use secret::{ask_code, ask_password};

const CREATE: &str = "\
The password is asked for, or read from a file of mode 0600; it is never an argument. Names may be e-mail addresses; letters of either case
are the same. With the name and the password, `holdfast login sign-in` gets a key for 12 hours on any machine. An account has one login.

Examples:
  holdfast login create ann
  holdfast login create ann@example.org --password-file ./password";

const VERIFY: &str = "\
Give an address to have a code mailed there; then, without an address, enter the code. Once an address is verified, `holdfast login reset`
can mail a code there that sets a new password.

Examples:
  holdfast login verify ann --email ann@example.org
  holdfast login verify ann                            # asks for the code from the mail
  holdfast login verify ann --code-file ./code";

const SIGN_IN: &str = "\
Makes a new key on this machine, which the password admits to the account for 12 hours, and remembers the cluster as a context. Repeat it
for another 12 hours with another context's name. After some wrong passwords the login is locked for a while, up to 15 minutes.

The root hash is the cluster's identity: take it from somebody you trust, not from the network.

Example:
  holdfast login sign-in ann --registry r1.example:7000 --root-hash 5f0c..";

const RESET: &str = "\
First has a code mailed to the login's verified address. The answer is the same whether there is such a login or not. Then, with
--with-code or --code-file, sets a new password with that code, within 30 minutes. Needs no key.

Examples:
  holdfast login reset ann --registry r1.example:7000 --root-hash 5f0c..
  holdfast login reset ann --registry r1.example:7000 --root-hash 5f0c.. --with-code";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take a name for this account, with a password
    #[command(after_help = CREATE)]
    Create {
        /// The name, 3 to 254 characters without spaces
        name: LoginName,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Show a login of this account
    #[command(after_help = "Example:\n  holdfast login show ann -o json")]
    Show {
        /// Its name
        name: LoginName,
    },
    /// Set another password
    #[command(
        after_help = "Codes that were mailed to set one are void afterwards.\n\nExample:\n  holdfast login passwd ann"
    )]
    Passwd {
        /// The login's name
        name: LoginName,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give a login up: its name is free for anybody afterwards
    #[command(
        after_help = "Keys that it admitted go on until their hours are over: `holdfast client device revoke` ends them.\n\nExample:\n  holdfast login remove ann"
    )]
    Remove {
        /// Its name
        name: LoginName,
    },
    /// Show that you read an e-mail address
    #[command(after_help = VERIFY)]
    Verify {
        /// The login's name
        name: LoginName,
        /// Mail a code to this address
        #[arg(long, value_name = "ADDRESS", conflicts_with = "code_file")]
        email: Option<String>,
        /// Read the code from this file; `-` is standard input
        #[arg(long, value_name = "FILE")]
        code_file: Option<PathBuf>,
    },
    /// Get a key for some hours with name and password
    #[command(after_help = SIGN_IN)]
    SignIn {
        /// The login's name
        name: LoginName,
        #[command(flatten)]
        cluster: ClusterArgs,
        #[command(flatten)]
        password: PasswordArgs,
        /// Where the key goes [default: a folder of the context's name beside the configuration file]
        #[arg(long, value_name = "DIR")]
        credential: Option<PathBuf>,
    },
    /// Set a new password with a code that is mailed to you
    #[command(after_help = RESET)]
    Reset {
        /// The login's name
        name: LoginName,
        #[command(flatten)]
        cluster: ClusterArgs,
        /// Ask for the code that was mailed, and set a new password
        #[arg(long)]
        with_code: bool,
        /// Read the code from this file; `-` is standard input
        #[arg(long, value_name = "FILE")]
        code_file: Option<PathBuf>,
        #[command(flatten)]
        password: PasswordArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswordArgs {
    /// Read the password from this file, of mode 0600, in place of asking for it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Address of a registry; give several for when one is away
    #[arg(long, required = true, value_name = "HOST:PORT")]
    registry: Vec<RegistryAddress>,
    /// SHA-256 of the cluster's root certificate, 64 hex digits
    #[arg(long, value_name = "HASH")]
    root_hash: RootHash,
}

pub(super) async fn run(app: App, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { name, password } => {
            let client = app.client().await?;
            let password = ask_password(password.password_file.as_deref(), Some("Again: "))?;
            let login = client.login(&name);
            let made = login.create(&password).await?;
            // Without this the registry admits nobody.
            client.devices().set_login(Some(made.id)).await?;
            show(&app, &made)
        }
        Command::Show { name } => show(&app, &app.client().await?.login(&name).show().await?),
        Command::Passwd { name, password } => {
            let client = app.client().await?;
            let password = ask_password(password.password_file.as_deref(), Some("Again: "))?;
            show(&app, &client.login(&name).set_password(&password).await?)
        }
        Command::Remove { name } => remove(&app, &name).await,
        Command::Verify { name, email: Some(email), code_file: _ } => {
            app.client().await?.login(&name).request_verification(&email).await?;
            let human =
                || format!("A code is on its way to {email}: `holdfast login verify {name}` asks for it.\n");
            app.output.print(human, || json!({ "mailed": email }))
        }
        Command::Verify { name, email: None, code_file } => {
            let client = app.client().await?;
            let code = ask_code(code_file.as_deref())?;
            show(&app, &client.login(&name).verify(&code).await?)
        }
        Command::SignIn { name, cluster, password, credential } => {
            sign_in(app, name, cluster, password, credential).await
        }
        Command::Reset { name, cluster, with_code, code_file, password } => {
            let mut stranger = stranger(&app, &name, &cluster).await?;
            if !with_code && code_file.is_none() {
                stranger.request_reset().await?;
                let human = || {
                    "If there is such a login and its address is verified, a code is on its way there.\n\
                     Repeat the command with --with-code.\n"
                        .to_owned()
                };
                return app.output.print(human, || json!({ "requested": true }));
            }
            let code = ask_code(code_file.as_deref())?;
            let password = ask_password(password.password_file.as_deref(), Some("Again: "))?;
            stranger.reset(&code, &password).await?;
            app.output.print(|| "The password is set.\n".to_owned(), || json!({ "reset": true }))
        }
    }
}

/// The account stops naming it first: nothing is admitted by half a login.
async fn remove(app: &App, name: &LoginName) -> Result<(), Failure> {
    let client = app.client().await?;
    let login = client.login(name);
    let info = login.show().await?;
    if client.devices().list().await?.login == Some(info.id) {
        client.devices().set_login(None).await?;
    }
    login.remove().await?;
    app.output.print(|| format!("Removed {name}.\n"), || json!({ "removed": name.as_str() }))
}

async fn stranger(app: &App, name: &LoginName, cluster: &ClusterArgs) -> Result<Stranger, Failure> {
    let ClusterArgs { registry, root_hash } = cluster;
    let signing_in = SigningIn {
        registries: registry.clone(),
        root_hash: *root_hash,
        name: name.clone(),
        patience: app.patience,
    };
    Ok(Stranger::meet(signing_in).await?)
}

async fn sign_in(
    mut app: App,
    name: LoginName,
    cluster: ClusterArgs,
    password: PasswordArgs,
    credential: Option<PathBuf>,
) -> Result<(), Failure> {
    let context_name = match app.context.clone() {
        Some(name) => name,
        None => "login".parse().map_err(|error| Failure::Usage(format!("{error}")))?,
    };
    let dir = credential.unwrap_or_else(|| app.config.dir().join(context_name.as_str()));
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    super::app::must_be_new(&dir)?;
    let context = Context {
        kind: ContextKind::Client,
        registries: cluster.registry.clone(),
        root_hash: cluster.root_hash,
        credential: dir.clone(),
    };
    super::client::refuse_other(&app, &context_name, &context)?;
    let password = ask_password(password.password_file.as_deref(), None)?;
    let client: Client = stranger(&app, &name, &cluster).await?.sign_in(&password, dir).await?;
    app.config.put(context_name, context).map_err(Error::from)?;
    app.config.save().map_err(Error::from)?;
    super::client::show(&app, &client.info())
}

fn show(app: &App, info: &LoginInfo) -> Result<(), Failure> {
    let LoginInfo { id, failures, email, created } = info;
    let human = || {
        let address = email.as_ref().map_or("none".to_owned(), |(address, _)| address.clone());
        facts(&[
            ("login", id.to_string()),
            ("verified address", address),
            ("failed tries", failures.to_string()),
            ("created", rfc3339(*created)),
        ])
    };
    let json = || {
        json!({ "login": {
            "id": id.to_string(),
            "email": email.as_ref().map(|(address, _)| address),
            "verified_ms": email.as_ref().map(|(_, at)| at.0),
            "failures": failures,
            "created_ms": created.0,
        }})
    };
    app.output.print(human, json)
}
