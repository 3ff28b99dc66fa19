//! `holdfast org`.

use clap::Subcommand;
use holdfast_domain::OrgId;
use serde_json::{Value, json};

use super::{Account, Desk};
use crate::{
    cli::{app::App, failure::Failure, table::facts},
    organisations::{OrganisationInfo, new_id},
    time::rfc3339,
};

const CREATE: &str = "\
You own what you create: you stand as its admin, whatever happens to its members. Keep the id that is printed: it is how you and
your members name the organisation.

Examples:
  holdfast org create 'Acme Research'
  holdfast org create Acme -o json | jq -r .organisation.id";

const TRANSFER: &str = "\
The new owner must be a member already. You keep the role of your own membership: without one you are a stranger afterwards, until the
new owner makes you a member. Only the owner can do this.

Example:
  holdfast member put ORG ACCOUNT --role admin
  holdfast org transfer ORG ACCOUNT";

const DELETE: &str = "\
Only the owner can do this, and only when it has no projects and no members. It is for ever: what is stored in its home stays out of
everybody's reach, and its id is never used again.

Example:
  holdfast org delete ORG";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OrgCommand {
    /// Create an organisation, and own it
    #[command(after_help = CREATE)]
    Create {
        /// Its name, 1 to 100 characters; it need not be unique
        name: String,
    },
    /// Show an organisation's name and owner
    #[command(after_help = "Members only.\n\nExample:\n  holdfast org show ORG")]
    Show {
        /// The organisation's id, as `holdfast org create` printed it
        #[arg(value_name = "ORG")]
        org: OrgId,
    },
    /// Give an organisation another name
    #[command(after_help = "Its owner and admins only.\n\nExample:\n  holdfast org rename ORG 'Acme Labs'")]
    Rename {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// The new name
        name: String,
    },
    /// Make one of its members the owner of an organisation
    #[command(after_help = TRANSFER)]
    Transfer {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// The new owner's account, as `holdfast client show` prints it there
        #[arg(value_name = "ACCOUNT")]
        account: Account,
    },
    /// End an organisation for ever
    #[command(after_help = DELETE)]
    Delete {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
    },
}

pub(in crate::cli) async fn run(app: &App, command: OrgCommand) -> Result<(), Failure> {
    match command {
        OrgCommand::Create { name } => {
            let desk = Desk::open(app, new_id()?).await?;
            show(app, &desk.organisation.create(&name).await?)
        }
        OrgCommand::Show { org } => show(app, &Desk::open(app, org).await?.organisation.info().await?),
        OrgCommand::Rename { org, name } => {
            show(app, &Desk::open(app, org).await?.organisation.rename(&name).await?)
        }
        OrgCommand::Transfer { org, account } => {
            let desk = Desk::open(app, org).await?;
            show(app, &desk.organisation.transfer(desk.account(account)).await?)
        }
        OrgCommand::Delete { org } => {
            Desk::open(app, org).await?.organisation.delete().await?;
            let human = || format!("Deleted organisation {org}.\n");
            app.output.print(human, || json!({ "deleted": org.to_string() }))
        }
    }
}

fn show(app: &App, info: &OrganisationInfo) -> Result<(), Failure> {
    let OrganisationInfo { id, name, owner, created, closing } = info;
    let human = || {
        let mut pairs = vec![
            ("id", id.to_string()),
            ("name", name.clone()),
            ("owner", owner.to_string()),
            ("created", rfc3339(*created)),
        ];
        if *closing {
            pairs.push(("state", "being deleted".to_owned()));
        }
        facts(&pairs)
    };
    app.output.print(human, || json!({ "organisation": organisation_json(info) }))
}

/// The stable form of an organisation in JSON.
fn organisation_json(info: &OrganisationInfo) -> Value {
    let OrganisationInfo { id, name, owner, created, closing } = info;
    json!({
        "id": id.to_string(),
        "name": name,
        "owner": owner.to_string(),
        "created_ms": created.0,
        "closing": closing,
    })
}
