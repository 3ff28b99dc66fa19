//! `holdfast ticket` and `holdfast invite`: a secret in a file, its public half signed into the cluster.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use holdfast_domain::{NodeRole, OperatorRequest, UnixMs};
use holdfast_keys::{OneTime, OneTimeKind, secret_file::write_secret};
use serde_json::json;

use super::{
    app::{App, SignArgs, discard_unless_unknown, must_be_new},
    failure::Failure,
    output::{remark, write_out},
    units::{parse_size, parse_span},
};
use crate::{Error, Operator, limits::MAX_INVITES, registries::millis, time};

#[derive(Debug, Subcommand)]
pub(super) enum TicketCommand {
    /// Make a ticket that admits whichever genuine machine shows it first
    #[command(
        after_help = "Example:\n  holdfast ticket new --role node --out ticket --expires 30m\nOn the machine:\n  holdfast-node join --ticket-file ticket ..."
    )]
    New {
        /// `node` or `registry`
        #[arg(long)]
        role: NodeRole,
        /// File for the ticket, of mode 0600; `-` is standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// How long it can be used
        #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = parse_span)]
        expires: Duration,
        #[command(flatten)]
        sign: SignArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum InviteCommand {
    /// Make invites, each of which registers one client with an account of its own
    #[command(
        after_help = "Examples:\n  holdfast invite new --out invite --quota 10GiB\n  holdfast invite new --count 50 --out-dir invites --expires 7d"
    )]
    New(NewInvite),
}

#[derive(Debug, clap::Args)]
pub(super) struct NewInvite {
    /// File for one invite, of mode 0600; `-` is standard output
    #[arg(long, value_name = "FILE", required_unless_present = "out_dir", conflicts_with_all = ["out_dir", "count"])]
    out: Option<PathBuf>,
    /// Folder for several invites: invite-0001, invite-0002 and so on
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_INVITES)))]
    count: u16,
    /// Bytes that each account may store
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    quota: u64,
    /// How long they can be used
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = parse_span)]
    expires: Duration,
    #[command(flatten)]
    sign: SignArgs,
}

pub(super) async fn run_ticket(app: &App, command: TicketCommand) -> Result<(), Failure> {
    let TicketCommand::New { role, out, expires, sign } = command;
    let operator = app.operator().await?;
    let expires = end_of(expires);
    let request =
        |key: &OneTime| OperatorRequest::IssueTicket { ticket: key.key().public().into(), role, expires };
    one(app, &operator, &out, OneTimeKind::Ticket, request, &sign).await
}

pub(super) async fn run_invite(app: &App, command: InviteCommand) -> Result<(), Failure> {
    let InviteCommand::New(NewInvite { out, out_dir, count, quota, expires, sign }) = command;
    let operator = app.operator().await?;
    let expires = end_of(expires);
    let request = |key: &OneTime| OperatorRequest::Invite {
        invite: key.key().public().into(),
        quota_bytes: quota,
        expires,
    };
    match (out, out_dir) {
        (Some(out), _) => one(app, &operator, &out, OneTimeKind::Invite, request, &sign).await,
        (None, Some(dir)) if sign.sign_only.is_none() => many(app, &operator, &dir, count, request).await,
        (None, _) => Err(Failure::Usage("--sign-only signs one invite: use it with --out".to_owned())),
    }
}

/// The secret is on disk before its public half is submitted, so that none is ever issued and lost.
pub(super) async fn one(
    app: &App,
    operator: &Operator,
    out: &Path,
    kind: OneTimeKind,
    request: impl Fn(&OneTime) -> OperatorRequest,
    sign: &SignArgs,
) -> Result<(), Failure> {
    let secret = OneTime::generate(kind).map_err(Error::from)?;
    let signing = operator.sign(request(&secret)).await?;
    if out == Path::new("-") {
        operator.submit_signed(&signing).await?;
        return write_out(secret.expose_text().as_bytes());
    }
    must_be_new(out)?;
    write_secret(out, secret.expose_text().as_bytes()).map_err(Error::from)?;
    let submitted = app.submit(operator, signing, sign).await;
    if let Err(failure) = &submitted {
        discard_unless_unknown(failure, out);
    } else {
        remark(&format!("{} is a secret: hand it over safely, it works once.", out.display()));
    }
    submitted
}

async fn many(
    app: &App,
    operator: &Operator,
    dir: &Path,
    count: u16,
    request: impl Fn(&OneTime) -> OperatorRequest,
) -> Result<(), Failure> {
    crate::storage::make_private_dir(dir).map_err(Error::from)?;
    let mut files = Vec::with_capacity(usize::from(count));
    let set = operator.status().await?.operator_set;
    for number in 1..=count {
        let out = dir.join(format!("invite-{number:04}"));
        must_be_new(&out)?;
        let secret = OneTime::generate(OneTimeKind::Invite).map_err(Error::from)?;
        write_secret(&out, secret.expose_text().as_bytes()).map_err(Error::from)?;
        if let Err(error) = operator.submit_signed(&operator.sign_as(set, request(&secret))?).await {
            let failure = Failure::from(error);
            discard_unless_unknown(&failure, &out);
            remark(&format!("{} invites were made before this failure", files.len()));
            return Err(failure);
        }
        files.push(out);
    }
    app.output.print(
        || format!("{count} invites in {}.\n", dir.display()),
        || json!({ "files": files.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>() }),
    )
}

pub(super) fn end_of(span: Duration) -> UnixMs {
    time::now().plus_ms(millis(span))
}
