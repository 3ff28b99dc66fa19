//! What every command has: the configuration, the chosen context, the output's form.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use holdfast_keys::{
    OneTime, OneTimeKind,
    secret_file::{MAX_SECRET_FILE, read_secret},
};
use zeroize::Zeroizing;

use super::{
    failure::Failure,
    output::{Format, remark},
    units::parse_span,
};
use crate::{
    Client, Error, Operator,
    config::{Config, Context, ContextKind, ContextName},
    limits::DEFAULT_PATIENCE,
    operator::{Signing, Submitted},
};

/// Keeps a command's own options apart from those of every command.
const GLOBAL: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(super) struct Globals {
    /// Configuration file [default: $HOLDFAST_CONFIG, or ~/.config/holdfast/config.toml]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Context to use, of those in the configuration file [default: $HOLDFAST_CONTEXT, or the current one]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "NAME")]
    pub(super) context: Option<ContextName>,
    /// Form of the output
    #[arg(short = 'o', long, global = true, help_heading = GLOBAL, value_enum, default_value_t)]
    pub(super) output: Format,
    /// Give up after this long without progress, such as 10s or 5m [default: 30s]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "SPAN", value_parser = parse_span)]
    pub(super) timeout: Option<Duration>,
    /// Say on standard error what is being done; twice says more
    #[arg(short = 'v', long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// The options, understood.
pub(super) struct App {
    pub(super) config: Config,
    pub(super) context: Option<ContextName>,
    pub(super) output: Format,
    pub(super) patience: Duration,
}

/// Acts that operators sign.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// Only sign: write the request to this file for other operators, who add their signatures with `operator cosign`
    #[arg(long, value_name = "FILE")]
    pub(super) sign_only: Option<PathBuf>,
}

impl App {
    pub(super) fn new(globals: Globals) -> Result<Self, Failure> {
        let Globals { config, context, output, timeout, verbose: _ } = globals;
        let path = match config.or_else(|| env_path("HOLDFAST_CONFIG")) {
            Some(path) => path,
            None => default_config()?,
        };
        let context = match (context, std::env::var("HOLDFAST_CONTEXT")) {
            (None, Ok(name)) if !name.is_empty() => {
                Some(name.parse().map_err(|error| Failure::Usage(format!("HOLDFAST_CONTEXT: {error}")))?)
            }
            (context, _) => context,
        };
        let config = Config::load(&path).map_err(Error::from)?;
        Ok(Self { config, context, output, patience: timeout.unwrap_or(DEFAULT_PATIENCE) })
    }

    pub(super) fn select(&self, kind: ContextKind) -> Result<(&ContextName, &Context), Failure> {
        Ok(self.config.select(self.context.as_ref(), kind).map_err(Error::from)?)
    }

    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let (_, context) = self.select(ContextKind::Client)?;
        Ok(Client::open(context, self.patience).await?)
    }

    pub(super) async fn operator(&self) -> Result<Operator, Failure> {
        let (_, context) = self.select(ContextKind::Operator)?;
        Ok(Operator::open(context, self.patience).await?)
    }

    /// Submits what an operator signed, or writes it to a file for others to sign.
    pub(super) async fn submit(
        &self,
        operator: &Operator,
        signing: Signing,
        args: &SignArgs,
    ) -> Result<(), Failure> {
        let what = signing.describe();
        if let Some(file) = &args.sign_only {
            return self.write_signing(&signing, file);
        }
        let index = match operator.submit_signed(&signing).await? {
            Submitted::At(index) => Some(index),
            Submitted::Before => None,
        };
        self.output
            .print(|| format!("Done: {what}.\n"), || serde_json::json!({ "done": what, "index": index }))
    }

    pub(super) fn write_signing(&self, signing: &Signing, file: &Path) -> Result<(), Failure> {
        crate::storage::write(file, &signing.to_bytes().map_err(Error::from)?).map_err(Error::from)?;
        let signers: Vec<_> = signing.signers().map(ToString::to_string).collect();
        let until = crate::time::rfc3339(signing.admission().expires);
        self.output.print(
            || {
                format!(
                    "Signed by {}: {}.\nIt must be submitted before {until}: `holdfast operator cosign FILE` adds a signature, `holdfast operator submit FILE` submits it.\n",
                    signers.join(", "),
                    signing.describe(),
                )
            },
            || serde_json::json!({ "signed": signing.describe(), "signers": signers, "expires": until, "file": file }),
        )
    }
}

/// Reads a one-time secret from a file that only its owner can read, or from standard input.
pub(super) fn read_one_time(path: &Path, kind: OneTimeKind) -> Result<OneTime, Failure> {
    let text = if path == Path::new("-") {
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET_FILE));
        let most = u64::try_from(MAX_SECRET_FILE).unwrap_or(u64::MAX);
        let read = std::io::stdin().lock().take(most).read_to_end(&mut text);
        read.map_err(crate::StorageError::io("read", path)).map_err(Error::from)?;
        text
    } else {
        read_secret(path).map_err(Error::from)?
    };
    OneTime::parse(kind, &text).map_err(|source| Failure::OneTime { path: path.to_owned(), source })
}

/// Refuses to write over a file.
pub(super) fn must_be_new(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() { Err(Failure::Exists(path.to_owned())) } else { Ok(()) }
}

/// Removes a file that was written too early. Only what the cluster certainly did not take is useless.
pub(super) fn discard_unless_unknown(failure: &Failure, path: &Path) {
    match failure {
        Failure::Sdk(Error::Unavailable { .. } | Error::Unknown { .. }) => {
            remark(&format!("{} is kept: it may have taken effect", path.display()));
        }
        // Nobody can use it; that it stays is only untidy.
        _ => drop(std::fs::remove_file(path)),
    }
}

fn default_config() -> Result<PathBuf, Failure> {
    let base = env_path("XDG_CONFIG_HOME").or_else(|| env_path("HOME").map(|home| home.join(".config")));
    let none = || {
        Failure::Usage(
            "neither --config, HOLDFAST_CONFIG nor HOME says where the configuration is".to_owned(),
        )
    };
    base.map(|base| base.join("holdfast").join("config.toml")).ok_or_else(none)
}

fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
