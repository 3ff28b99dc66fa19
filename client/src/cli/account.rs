//! `holdfast account`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use holdfast_domain::{AccountId, Role};
use holdfast_keys::OneTimeKind;
use serde_json::json;

use super::{
    app::{App, read_one_time},
    failure::Failure,
    organisations::Account,
    table::Table,
    units::show_size,
};
use crate::Client;

const ROLES: &str = "\
Roles that hold in every organisation, each with what the ones before it may do:
  guest       looks on
  user        takes part
  admin       decides in every organisation, and may disable, enable and delete accounts that are no admins
  superadmin  decides about every other account and gives these roles; comes from a set-up token only
No role opens another account's own files or logins. Nobody changes his own role: a superadmin can step down unless he is the last one.

Examples:
  holdfast account role ACCOUNT --role admin
  holdfast account role ACCOUNT --role none";

const DISABLE: &str = "\
It holds everywhere within two seconds, also for what the account has open. `me` disables this client's own account; an admin gives it back.

Examples:
  holdfast account disable ACCOUNT
  holdfast account enable ACCOUNT";

const CLAIM: &str = "\
An operator makes the token with `holdfast operator setup-token`. It works once, for a while.

Example:
  holdfast account claim --token-file ./token";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take all rights from an account, everywhere, at once
    #[command(after_help = DISABLE)]
    Disable {
        /// The account's id, or `me`
        #[arg(value_name = "ACCOUNT")]
        account: Account,
    },
    /// Give a disabled account its rights back
    #[command(after_help = DISABLE)]
    Enable {
        /// The account's id
        #[arg(value_name = "ACCOUNT")]
        account: Account,
    },
    /// End an account for ever: its keys, its recovery key and its roles
    ///
    /// Its id never comes back, and nobody can open what lies in its home any more.
    #[command(after_help = "Example:\n  holdfast account delete ACCOUNT --yes")]
    Delete {
        /// The account's id, or `me`
        #[arg(value_name = "ACCOUNT")]
        account: Account,
        /// Yes, for ever
        #[arg(long, required = true)]
        yes: bool,
    },
    /// List all accounts, for admins
    #[command(
        after_help = "Example:\n  holdfast account list -o json | jq -r '.accounts[] | select(.state == \"disabled\") | .account'"
    )]
    List,
    /// Give an account a role that holds in every organisation, or take it
    #[command(after_help = ROLES)]
    Role {
        /// The account's id
        #[arg(value_name = "ACCOUNT")]
        account: Account,
        /// The role
        #[arg(long, value_enum)]
        role: Given,
    },
    /// Become superadmin with a set-up token
    #[command(after_help = CLAIM)]
    Claim {
        /// File with the token, of mode 0600; `-` reads it from standard input
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Be superadmin no more
    StepDown,
}

/// Roles that can be given everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Given {
    /// No role
    None,
    /// Looks on
    Guest,
    /// Takes part
    User,
    /// Decides in every organisation
    Admin,
}

impl From<Given> for Option<Role> {
    fn from(given: Given) -> Self {
        match given {
            Given::None => None,
            Given::Guest => Some(Role::Guest),
            Given::User => Some(Role::User),
            Given::Admin => Some(Role::Admin),
        }
    }
}

pub(super) async fn run(app: &App, command: Command) -> Result<(), Failure> {
    let client = app.client().await?;
    let own = client.info().description.account;
    let id = |account: Account| match account {
        Account::Me => own,
        Account::Id(id) => id,
    };
    match command {
        Command::Disable { account } => {
            let account = id(account);
            client.accounts().disable(account).await?;
            done(app, "disabled", account)
        }
        Command::Enable { account } => {
            let account = id(account);
            client.accounts().enable(account).await?;
            done(app, "enabled", account)
        }
        Command::Delete { account, yes: _ } => {
            let account = id(account);
            client.accounts().delete(account).await?;
            done(app, "deleted", account)
        }
        Command::Role { account, role } => {
            let (account, role) = (id(account), Option::<Role>::from(role));
            client.accounts().set_role(account, role).await?;
            let role = role.map_or("none", Role::as_str);
            app.output.print(
                || format!("The global role of account {account} is {role}.\n"),
                || json!({ "account": account.to_string(), "role": role }),
            )
        }
        Command::Claim { token_file } => {
            let token = read_one_time(&token_file, OneTimeKind::SetupToken)?;
            client.accounts().claim(&token).await?;
            app.output.print(
                || format!("Account {own} is superadmin.\n"),
                || json!({ "account": own.to_string(), "role": Role::SuperAdmin.as_str() }),
            )
        }
        Command::StepDown => {
            client.accounts().step_down().await?;
            app.output.print(
                || format!("Account {own} is superadmin no more.\n"),
                || json!({ "account": own.to_string(), "role": "none" }),
            )
        }
        Command::List => list(app, &client).await,
    }
}

fn done(app: &App, what: &'static str, account: AccountId) -> Result<(), Failure> {
    app.output.print(
        || format!("Account {account} is {what}.\n"),
        || json!({ what: { "account": account.to_string() } }),
    )
}

async fn list(app: &App, client: &Client) -> Result<(), Failure> {
    let accounts = client.accounts().list().await?;
    let human = || {
        let mut table = Table::new(&["ACCOUNT", "STATE", "ROLE", "KEYS>", "QUOTA>"]);
        for row in &accounts {
            let role = row.role.map_or("-", Role::as_str).to_owned();
            let (keys, quota) = (row.devices.to_string(), show_size(row.quota_bytes));
            table.row([row.account.to_string(), row.state.clone(), role, keys, quota]);
        }
        table.render()
    };
    let json = || {
        let rows = accounts.iter().map(|row| {
            json!({
                "account": row.account.to_string(),
                "state": row.state,
                "by": row.by.map(|by| by.to_string()),
                "role": row.role.map(Role::as_str),
                "devices": row.devices,
                "quota_bytes": row.quota_bytes,
            })
        });
        json!({ "accounts": rows.collect::<Vec<_>>() })
    };
    app.output.print(human, json)
}
