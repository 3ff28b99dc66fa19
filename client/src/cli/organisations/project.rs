//! `holdfast project`.

use clap::Subcommand;
use holdfast_domain::OrgId;
use serde_json::{Value, json};

use super::Desk;
use crate::{
    cli::{app::App, failure::Failure, table::Table},
    organisations::Project,
    time::rfc3339,
};

const CREATE: &str = "\
The organisation's owner and admins create, rename and delete projects, and are admins of all of them.

Examples:
  holdfast project create ORG Website
  holdfast member put ORG ACCOUNT --role admin --project Website";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ProjectCommand {
    /// Create a project in an organisation
    #[command(after_help = CREATE)]
    Create {
        /// The organisation's id, as `holdfast org create` printed it
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// Its name, 1 to 100 characters, unique in the organisation
        name: String,
    },
    /// List the projects that you belong to
    #[command(
        after_help = "Members of the organisation belong to all of its projects, others to those that they are members of.\n\nExample:\n  holdfast project list ORG"
    )]
    List {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
    },
    /// Give a project another name; its id stays
    #[command(after_help = "Example:\n  holdfast project rename ORG Website 'Public site'")]
    Rename {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// The project's name or id
        project: String,
        /// The new name
        name: String,
    },
    /// Delete a project with all of its memberships
    #[command(
        after_help = "An interrupted deletion goes on when the command is repeated.\n\nExample:\n  holdfast project delete ORG Website"
    )]
    Delete {
        /// The organisation's id
        #[arg(value_name = "ORG")]
        org: OrgId,
        /// The project's name or id
        project: String,
    },
}

pub(in crate::cli) async fn run(app: &App, command: ProjectCommand) -> Result<(), Failure> {
    match command {
        ProjectCommand::Create { org, name } => {
            let project = Desk::open(app, org).await?.organisation.create_project(&name).await?;
            show(app, &project, "Created")
        }
        ProjectCommand::List { org } => {
            list(app, &Desk::open(app, org).await?.organisation.projects().await?)
        }
        ProjectCommand::Rename { org, project, name } => {
            let desk = Desk::open(app, org).await?;
            let project = desk.organisation.rename_project(desk.project(&project).await?, &name).await?;
            show(app, &project, "Renamed")
        }
        ProjectCommand::Delete { org, project } => {
            let desk = Desk::open(app, org).await?;
            let id = desk.project(&project).await?;
            desk.organisation.delete_project(id).await?;
            let human = || format!("Deleted project {id}.\n");
            app.output.print(human, || json!({ "deleted": id.to_string() }))
        }
    }
}

fn show(app: &App, project: &Project, done: &str) -> Result<(), Failure> {
    let human = || format!("{done} project {} ({}).\n", project.name, project.id);
    app.output.print(human, || json!({ "project": project_json(project) }))
}

fn list(app: &App, projects: &[Project]) -> Result<(), Failure> {
    let human = || {
        let mut table = Table::new(&["PROJECT", "CREATED", "NAME", "STATE"]);
        for Project { id, name, created, closing } in projects {
            let state = if *closing { "being deleted" } else { "" };
            table.row([id.to_string(), rfc3339(*created), name.clone(), state.to_owned()]);
        }
        table.render()
    };
    app.output.print(human, || json!({ "projects": projects.iter().map(project_json).collect::<Vec<_>>() }))
}

/// The stable form of a project in JSON.
fn project_json(project: &Project) -> Value {
    let Project { id, name, created, closing } = project;
    json!({ "id": id.to_string(), "name": name, "created_ms": created.0, "closing": closing })
}
