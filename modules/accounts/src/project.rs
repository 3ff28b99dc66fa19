//! Projects of an organisation.

use bytes::Bytes;
use holdfast_accounts_api::{
    Place,
    v1::{
        CreateProjectRequest, DeleteProjectRequest, DeleteReply, Life, ListProjectsReply,
        ListProjectsRequest, Membership, Organisation, Project, ProjectName, RenameProjectRequest,
    },
};
use holdfast_domain::{ProjectId, Reason, Sha256Hash};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{By, Committed, QueryError, Stored, Table},
};

use crate::{
    limits::{DELETED_AT_ONCE, MAX_PROJECTS},
    name::Name,
    page::{Paging, up_to},
    rows::{key, member_key, members_of, name_key, open, open_project, organisation, project},
};

pub(crate) async fn create(context: &Context, request: CreateProjectRequest) -> Result<Project, Refusal> {
    let CreateProjectRequest { route: _, name } = request;
    let name = Name::parse(name)?.into_text();
    let (projects, id) = (context.table::<Project>()?, new_id(context)?);
    match projects.get(&key(id)?).await {
        Ok(made) => return Ok(made.into_answer()),
        Err(QueryError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let organisations = context.table_for::<Organisation>("get")?;
    let home = organisation(context)?;
    let within = open(&organisations, home).await?;
    if up_to(MAX_PROJECTS, &context.table_for::<Project>("list")?, &By::Everything).await?.len()
        >= MAX_PROJECTS
    {
        return Err(Refusal::new(Reason::TooMany).because("the organisation has as many projects as it can"));
    }
    let id_bytes = Bytes::copy_from_slice(id.as_bytes());
    let row = Project {
        id: id_bytes.clone(),
        name: name.clone(),
        created_ms: context.now().0,
        life: Life::Open.into(),
    };
    let mut batch = context.batch()?;
    batch.require(&organisations, &key(home)?, within.version())?;
    batch.insert(&projects, &row)?;
    batch.insert(&context.table_for("take")?, &ProjectName { name, project: id_bytes })?;
    batch.commit().await?;
    Ok(row)
}

/// The same for all tries of one command, and nobody's choice.
fn new_id(context: &Context) -> Result<ProjectId, Refusal> {
    let (home, account, command) = (organisation(context)?, context.account()?, context.command()?);
    let hash = Sha256Hash::of(format!("accounts/project/v1 {home} {account} {command}").as_bytes());
    let mut id = [0; ProjectId::LEN];
    id.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    Ok(ProjectId::new(id))
}

pub(crate) async fn list(
    context: &Context,
    request: ListProjectsRequest,
) -> Result<ListProjectsReply, Refusal> {
    let ListProjectsRequest { route: _, cursor, limit } = request;
    let paging = Paging::parse(&cursor, limit)?;
    let (projects, cursor) = paging.of(&context.table()?, &By::Everything).await?;
    Ok(ListProjectsReply { projects, cursor })
}

pub(crate) async fn rename(context: &Context, request: RenameProjectRequest) -> Result<Project, Refusal> {
    let RenameProjectRequest { route: _, project: id, name } = request;
    let (id_bytes, id, name) = (id.clone(), project(&id)?, Name::parse(name)?.into_text());
    let (names, projects) = (context.table::<ProjectName>()?, context.table_for::<Project>("create")?);
    let stored = open_project(&projects, id).await?;
    if stored.row().name == name {
        return Ok(stored.into_answer());
    }
    let (version, old) = (stored.version(), name_key(&stored.row().name)?);
    let row = Project { name: name.clone(), ..stored.into_row() };
    let mut batch = context.batch()?;
    // First: as long as the project is what was read, its old name is its own.
    batch.replace(&projects, &row, version)?;
    batch.insert(&names, &ProjectName { name, project: id_bytes })?;
    batch.delete(&names, &old)?;
    batch.commit().await?;
    Ok(row)
}

/// One step: an open project is closed; a closing one loses some memberships, or itself with the last of them. Nobody was added since it
/// was closed, as whatever adds requires the row as it was.
pub(crate) async fn delete(context: &Context, request: DeleteProjectRequest) -> Result<DeleteReply, Refusal> {
    let DeleteProjectRequest { route: _, project: id } = request;
    let (id, projects) = (project(&id)?, context.table::<Project>()?);
    let stored = match projects.get(&key(id)?).await {
        Ok(stored) => stored,
        // Not found, unless this very command deleted it.
        Err(QueryError::NotFound { .. }) => {
            projects.delete(context.command()?, &key(id)?).await?;
            return Ok(DeleteReply { done: true });
        }
        Err(error) => return Err(error.into()),
    };
    if stored.row().life() == Life::Open {
        return close(context, &projects, stored).await;
    }
    let members = context.table_for::<Membership>("remove")?;
    let some = up_to(DELETED_AT_ONCE + 1, &members, &By::Prefix(members_of(Place::Project(id))?)).await?;
    let done = some.len() <= DELETED_AT_ONCE;
    let mut batch = context.batch()?;
    for member in some.iter().take(DELETED_AT_ONCE) {
        let account = crate::rows::account(&member.row().account)?;
        batch.delete(&members, &member_key(Place::Project(id), account)?)?;
    }
    if done {
        batch.delete(&projects, &key(id)?)?;
        batch.delete(&context.table_for::<ProjectName>("take")?, &name_key(&stored.row().name)?)?;
    }
    match batch.commit().await? {
        Committed::Applied => Ok(DeleteReply { done }),
        // The earlier try closed it or took some members, or it would not be found now.
        Committed::Duplicate => Ok(DeleteReply { done: false }),
    }
}

async fn close(
    context: &Context,
    projects: &Table<Project>,
    open: Stored<Project>,
) -> Result<DeleteReply, Refusal> {
    let version = open.version();
    let mut row = open.into_row();
    row.set_life(Life::Closing);
    projects.replace(context.command()?, &row, version).await?;
    Ok(DeleteReply { done: false })
}
