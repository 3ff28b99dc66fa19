//! `holdfast operator`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use holdfast_domain::OperatorRequest;
use holdfast_keys::{OneTime, OneTimeKind};
use serde_json::json;

use super::{
    app::{App, SignArgs},
    failure::Failure,
    one_time::{end_of, one},
    output::remark,
    table::facts,
    units::parse_span,
};
use crate::{
    Error, Operator,
    config::{Context, ContextKind, RegistryAddress},
    credential::{OperatorCredential, OperatorDescription},
    limits::MAX_SIGNED_ADMISSION,
    operator::Signing,
    time::rfc3339,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Remember an operator's credential directory as a context and make it the current one
    #[command(
        after_help = "Example:\n  holdfast operator use ./operator-credential\n  holdfast operator use ./staging --context staging --registry r1.example:7000"
    )]
    Use {
        /// The directory, as the cluster's initialisation wrote it
        dir: PathBuf,
        /// Address of a registry [default: those in the directory]
        #[arg(long, value_name = "HOST:PORT")]
        registry: Vec<RegistryAddress>,
    },
    /// Show who this operator is, offline
    Show,
    /// Renew the certificate now; every command does so by itself when half of its life is over
    Renew,
    /// Add your signature to a request that another operator signed with --sign-only
    ///
    /// Shows what the request does before it is signed into the file. Nothing is sent.
    #[command(after_help = "Example:\n  holdfast operator cosign request")]
    Cosign {
        /// The request
        file: PathBuf,
    },
    /// Make a set-up token: whichever account shows it first becomes superadmin
    ///
    /// A cluster begins without accounts that decide over others. The token makes the first one, and another one should all be lost; it works
    /// once, for a while. Its holder runs `holdfast account claim --token-file FILE`.
    #[command(after_help = "Example:\n  holdfast operator setup-token --out ./token --expires 30m")]
    SetupToken {
        /// File for the token, of mode 0600; `-` writes it to standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// How long it can be used
        #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = parse_span)]
        expires: Duration,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Submit a request that enough operators have signed
    #[command(after_help = "Example:\n  holdfast operator submit request")]
    Submit {
        /// The request
        file: PathBuf,
    },
}

pub(super) async fn run(app: App, command: Command) -> Result<(), Failure> {
    match command {
        Command::Use { dir, registry } => take(app, &dir, registry),
        Command::Show => {
            let (_, context) = app.select(ContextKind::Operator)?;
            show(&app, &Operator::open_offline(context, app.patience)?)
        }
        Command::Renew => {
            let (_, context) = app.select(ContextKind::Operator)?;
            let mut operator = Operator::open_offline(context, app.patience)?;
            operator.renew().await?;
            show(&app, &operator)
        }
        Command::Cosign { file } => {
            let (_, context) = app.select(ContextKind::Operator)?;
            let operator = Operator::open_offline(context, app.patience)?;
            let signing = read(&file)?;
            remark(&format!("This request is to {}.", signing.describe()));
            app.write_signing(&operator.cosign(signing)?, &file)
        }
        Command::SetupToken { out, expires, sign } => {
            let operator = app.operator().await?;
            let expires = end_of(expires);
            let request =
                |key: &OneTime| OperatorRequest::SetupToken { token: key.key().public().into(), expires };
            one(&app, &operator, &out, OneTimeKind::SetupToken, request, &sign).await
        }
        Command::Submit { file } => {
            let operator = app.operator().await?;
            app.submit(&operator, read(&file)?, &SignArgs { sign_only: None }).await
        }
    }
}

fn take(mut app: App, dir: &Path, registry: Vec<RegistryAddress>) -> Result<(), Failure> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let credential = OperatorCredential::open(&dir, None).map_err(Error::from)?;
    let OperatorDescription { registries, root_hash, .. } = credential.description().clone();
    let name = match app.context.clone() {
        Some(name) => name,
        None => "operator".parse().map_err(|error| Failure::Usage(format!("{error}")))?,
    };
    match app.config.contexts().get(&name) {
        Some(known) if known.root_hash != root_hash => {
            return Err(Failure::Usage(format!(
                "context {name} is for another cluster: choose another name with --context"
            )));
        }
        _ => {}
    }
    let registries = if registry.is_empty() { registries } else { registry };
    let context = Context { kind: ContextKind::Operator, registries, root_hash, credential: dir };
    // Whom the operator names counts, not what an earlier context of this directory found.
    credential.voters_file().forget();
    let operator = Operator::open_offline(&context, app.patience)?;
    app.config.put(name.clone(), context).map_err(Error::from)?;
    app.config.set_current(name).map_err(Error::from)?;
    app.config.save().map_err(Error::from)?;
    show(&app, &operator)
}

fn show(app: &App, operator: &Operator) -> Result<(), Failure> {
    let OperatorDescription { cluster, trust_domain, root_hash, registries, name } = operator.description();
    let until = operator.not_after();
    let threshold = operator.threshold_at_genesis();
    let registries: Vec<_> = registries.iter().map(ToString::to_string).collect();
    let human = || {
        facts(&[
            ("operator", name.to_string()),
            ("certificate until", rfc3339(until)),
            ("cluster", cluster.to_string()),
            ("trust domain", trust_domain.to_string()),
            ("root hash", root_hash.to_string()),
            ("registries", registries.join(", ")),
            ("signatures needed at first", threshold.to_string()),
        ])
    };
    let json = || {
        json!({
            "operator": name.as_str(), "not_after_ms": until.0, "cluster": cluster.to_string(),
            "trust_domain": trust_domain.as_str(), "root_hash": root_hash.to_string(), "registries": registries,
            "threshold_at_genesis": threshold,
        })
    };
    app.output.print(human, json)
}

fn read(file: &Path) -> Result<Signing, Failure> {
    let most = u64::try_from(MAX_SIGNED_ADMISSION).unwrap_or(u64::MAX);
    let bytes = crate::storage::read(file, most).map_err(Error::from)?;
    Ok(Signing::from_bytes(&bytes)?)
}
