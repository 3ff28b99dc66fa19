//! Projects of an organisation.

use holdfast_accounts_api::v1::{self as pb, organisations_client::OrganisationsClient};
#[cfg(doc)]
use holdfast_domain::Reason;
use holdfast_domain::{ProjectId, UnixMs};
use tonic::transport::Channel;

use super::{Organisation, bytes_of, id_of, is_gone};
use crate::{Error, home::Paging, limits::PAGE_ROWS};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id, which never changes.
    pub id: ProjectId,
    /// Its name, unique in the organisation.
    pub name: String,
    /// When it was made.
    pub created: UnixMs,
    /// Whether it is on its way to be deleted.
    pub closing: bool,
}

impl Organisation {
    /// Makes a project.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::AlreadyExists`] for a name that is taken.
    pub async fn create_project(&self, name: &str) -> Result<Project, Error> {
        let action = format!("create project {name}");
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let request = pb::CreateProjectRequest { route: Some(route), name: name.to_owned() };
            async move { client.create_project(request).await }
        };
        project_of(self.call(&action, call).await?, &action)
    }

    /// The projects that this account belongs to, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        const ACTION: &str = "list projects";
        let (mut projects, mut paging) = (Vec::new(), Paging::begin());
        while let Some(cursor) = paging.next() {
            let call = |mut client: OrganisationsClient<Channel>, route| {
                let cursor = cursor.clone();
                let request = pb::ListProjectsRequest { route: Some(route), cursor, limit: PAGE_ROWS };
                async move { client.list_projects(request).await }
            };
            let pb::ListProjectsReply { projects: rows, cursor: next } = self.call(ACTION, call).await?;
            for row in rows {
                projects.push(project_of(row, ACTION)?);
            }
            paging.follow(&cursor, next, ACTION)?;
        }
        projects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(projects)
    }

    /// Gives a project another name.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::AlreadyExists`] for a name that is taken.
    pub async fn rename_project(&self, project: ProjectId, name: &str) -> Result<Project, Error> {
        let action = format!("rename project {project}");
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let (route, project) = (Some(route), bytes_of(project.as_bytes()));
            let request = pb::RenameProjectRequest { route, project, name: name.to_owned() };
            async move { client.rename_project(request).await }
        };
        project_of(self.call(&action, call).await?, &action)
    }

    /// Deletes a project with all of its memberships.
    ///
    /// # Errors
    /// See [`Error`]. What was begun goes on when it is repeated.
    pub async fn delete_project(&self, project: ProjectId) -> Result<(), Error> {
        let action = format!("delete project {project}");
        let mut begun = false;
        loop {
            let call = |mut client: OrganisationsClient<Channel>, route| {
                let request =
                    pb::DeleteProjectRequest { route: Some(route), project: bytes_of(project.as_bytes()) };
                async move { client.delete_project(request).await }
            };
            match self.call(&action, call).await {
                Ok(pb::DeleteReply { done: true }) => return Ok(()),
                Ok(pb::DeleteReply { done: false }) => begun = true,
                // Somebody else finished what we began.
                Err(error) if begun && is_gone(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn project_of(row: pb::Project, action: &str) -> Result<Project, Error> {
    let closing = row.life() != pb::Life::Open;
    let pb::Project { id, name, created_ms, life: _ } = row;
    Ok(Project { id: id_of(&id, action, "project")?, name, created: UnixMs(created_ms), closing })
}
