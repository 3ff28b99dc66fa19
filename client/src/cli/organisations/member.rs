//! `holdfast member`.

use clap::{Subcommand, ValueEnum};
use holdfast_domain::{OrgId, Role};
use serde_json::{Value, json};

use super::{Account, Desk};
use crate::{
    cli::{app::App, failure::Failure, table::Table},
    organisations::{Member, Place},
    time::rfc3339,
};

const PUT: &str = "\
Roles, each with what the ones before it may do:
  guest  looks on
  user   takes part
  admin  decides who takes part
A role in the organisation holds in all of its projects; a role in a project holds there alone. Of several roles the highest counts.
The organisation's owner and admins decide about all members, a project's admins about its own. Nobody changes his own role: he can
leave. The owner's rights do not depend on any membership.

ACCOUNT is what `holdfast client show` prints on the other's machine.

Examples:
  holdfast member put ORG ACCOUNT --role user                              # in the organisation
  holdfast member put ORG ACCOUNT --role admin --project Website
  holdfast member put ORG ACCOUNT --role guest --project Website --project Shop";

const LIST: &str = "\
Examples:
  holdfast member list ORG                        # of the organisation itself
  holdfast member list ORG --project Website
  holdfast member list ORG --all                  # every membership that you may see
  holdfast member list ORG --all -o json | jq -r '.members[] | select(.role == \"admin\") | .account'";

const REMOVE: &str = "\
It holds from the next call on; what is open, such as a download, ends within two seconds. `me` leaves.

Examples:
  holdfast member remove ORG ACCOUNT
  holdfast member remove ORG ACCOUNT --project Website
  holdfast member remove ORG me";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MemberCommand {
    /// Make an account a member, or give a member another role
    #[command(after_help = PUT)]
    Put {
        /// The organisation's id, as `holdfast org create` printed it
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// The account's id
        #[arg(value_name = "ACCOUNT")]
        account: Account,
        /// The role
        #[arg(long, value_enum)]
        role: Given,
        /// In this project, by name or id; may be repeated [default: in the organisation]
        #[arg(long, value_name = "PROJECT")]
        project: Vec<String>,
    },
    /// List members
    #[command(after_help = LIST)]
    List {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// Of this project, by name or id [default: of the organisation itself]
        #[arg(long, value_name = "PROJECT", conflicts_with = "all")]
        project: Option<String>,
        /// Of the organisation and all projects that you belong to
        #[arg(long)]
        all: bool,
    },
    /// Take a member's role, or leave
    #[command(after_help = REMOVE)]
    Remove {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// The account's id, or `me`
        #[arg(value_name = "ACCOUNT")]
        account: Account,
        /// In this project, by name or id [default: in the organisation]
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
    },
}

/// Roles that can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Given {
    /// Looks on
    Guest,
    /// Takes part
    User,
    /// Decides who takes part
    Admin,
}

impl From<Given> for Role {
    fn from(given: Given) -> Self {
        match given {
            Given::Guest => Self::Guest,
            Given::User => Self::User,
            Given::Admin => Self::Admin,
        }
    }
}

pub(in crate::cli) async fn run(app: &App, command: MemberCommand) -> Result<(), Failure> {
    match command {
        MemberCommand::Put { org, account, role, project } => {
            let desk = Desk::open(app, org).await?;
            let projects = desk.projects(&project).await?;
            let mut places: Vec<_> = projects.into_iter().map(Place::Project).collect();
            if places.is_empty() {
                places.push(Place::Organisation);
            }
            let roles: Vec<_> = places.into_iter().map(|place| (place, role.into())).collect();
            show(app, &desk.organisation.put_member(desk.account(account), &roles).await?)
        }
        MemberCommand::List { org, project, all } => {
            let desk = Desk::open(app, org).await?;
            let place = if all { None } else { Some(desk.place(project.as_deref()).await?) };
            let (mut pages, mut members) = (desk.organisation.members(place), Vec::new());
            while let Some(page) = pages.next_page().await? {
                members.extend(page);
            }
            members.sort_by_key(|member| (member.place, member.account));
            show(app, &members)
        }
        MemberCommand::Remove { org, account, project } => {
            let desk = Desk::open(app, org).await?;
            let (place, account) = (desk.place(project.as_deref()).await?, desk.account(account));
            desk.organisation.remove_member(place, account).await?;
            let human = || format!("Removed {account}.\n");
            app.output.print(
                human,
                || json!({ "removed": { "account": account.to_string(), "scope": place.to_string() } }),
            )
        }
    }
}

impl Desk {
    async fn place(&self, project: Option<&str>) -> Result<Place, Failure> {
        match project {
            None => Ok(Place::Organisation),
            Some(named) => self.project(named).await.map(Place::Project),
        }
    }
}

fn show(app: &App, members: &[Member]) -> Result<(), Failure> {
    let human = || {
        let mut table = Table::new(&["ACCOUNT", "ROLE", "SINCE", "IN"]);
        for Member { place, account, role, since } in members {
            table.row([account.to_string(), role.as_str().to_owned(), rfc3339(*since), place.to_string()]);
        }
        table.render()
    };
    app.output.print(human, || json!({ "members": members.iter().map(member_json).collect::<Vec<_>>() }))
}

/// The stable form of a membership in JSON.
fn member_json(member: &Member) -> Value {
    let Member { place, account, role, since } = member;
    json!({
        "account": account.to_string(),
        "role": role.as_str(),
        "scope": place.to_string(),
        "since_ms": since.0,
    })
}
