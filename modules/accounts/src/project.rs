//! Projects of an organisation.

use bytes::Bytes;
use holdfast_accounts_api::{
    Place,
    v1::{
        CreateProjectRequest, DeleteProjectRequest, DeleteReply, Life, ListProjectsReply,
        ListProjectsRequest, Membership, Organisation, Project, ProjectName, RenameProjectRequest,
    },
};
use holdfast_domain::{ProjectId, Reason};
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
    let (projects, names) = (context.table::<Project>()?, context.table_for::<ProjectName>("take")?);
    let organisations = context.table_for::<Organisation>("get")?;
    let home = organisation(context)?;
    let within = open(&organisations, home).await?;
    // Where the name is taken, the commit says why: maybe by this very command.
    if named(&names, &name).await?.is_none() {
        must_have_room(context).await?;
    }
    let id_bytes = Bytes::copy_from_slice(new_id()?.as_bytes());
    let row = Project {
        id: id_bytes.clone(),
        name: name.clone(),
        created_ms: context.now().0,
        life: Life::Open.into(),
    };
    let mut batch = context.batch()?;
    batch.require(&organisations, &key(home)?, within.version())?;
    batch.insert(&projects, &row)?;
    batch.insert(&names, &ProjectName { name: name.clone(), project: id_bytes })?;
    match batch.commit().await? {
        Committed::Applied => Ok(row),
        Committed::Duplicate => {
            let gone = || Refusal::new(Reason::NotFound).because("it was made, and then deleted or renamed");
            let made = named(&names, &name).await?.ok_or_else(gone)?;
            Ok(projects.get(&key(project(&made.project)?)?).await?.into_answer())
        }
    }
}

async fn must_have_room(context: &Context) -> Result<(), Refusal> {
    let projects = context.table_for::<Project>("list")?;
    if up_to(MAX_PROJECTS, &projects, &By::Everything).await?.len() < MAX_PROJECTS {
        Ok(())
    } else {
        Err(Refusal::new(Reason::TooMany).because("the organisation has as many projects as it can"))
    }
}

/// Which project has a name.
async fn named(names: &Table<ProjectName>, name: &str) -> Result<Option<ProjectName>, Refusal> {
    match names.get(&name_key(name)?).await {
        Ok(stored) => Ok(Some(stored.into_row())),
        Err(QueryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Drawn anew in each try, so that no command brings back the id of a project that is gone, and what it had in other modules.
fn new_id() -> Result<ProjectId, Refusal> {
    let bytes =
        holdfast_keys::random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
    Ok(ProjectId::new(bytes))
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
