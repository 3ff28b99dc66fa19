//! The organisation itself: made, named, given away, ended.

use bytes::Bytes;
use holdfast_accounts_api::{
    Place,
    v1::{
        CreateRequest, DeleteReply, DeleteRequest, GetRequest, Life, Membership, Organisation, Project,
        RenameRequest, TransferOwnerRequest,
    },
};
use holdfast_domain::Reason;
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{By, Committed, Entity, Stored, Table},
};

use crate::{
    name::Name,
    page::up_to,
    rows::{account, alive, member_key, organisation},
};

pub(crate) async fn create(context: &Context, request: CreateRequest) -> Result<Organisation, Refusal> {
    let CreateRequest { route: _, name } = request;
    let id = organisation(context)?;
    let row = Organisation {
        id: Bytes::copy_from_slice(id.as_bytes()),
        name: Name::parse(name)?.into_text(),
        owner: Bytes::copy_from_slice(context.account()?.as_bytes()),
        created_ms: context.now().0,
        life: Life::Open.into(),
    };
    let table = context.table()?;
    match table.insert(context.command()?, &row).await? {
        Committed::Applied => Ok(row),
        Committed::Duplicate => Ok(alive(&table, id).await?.into_answer()),
    }
}

pub(crate) async fn get(context: &Context, request: GetRequest) -> Result<Organisation, Refusal> {
    let GetRequest { route: _ } = request;
    Ok(alive(&context.table()?, organisation(context)?).await?.into_answer())
}

pub(crate) async fn rename(context: &Context, request: RenameRequest) -> Result<Organisation, Refusal> {
    let RenameRequest { route: _, name } = request;
    let name = Name::parse(name)?.into_text();
    let table = context.table()?;
    let stored = alive(&table, organisation(context)?).await?;
    let version = stored.version();
    let row = Organisation { name, ..stored.into_row() };
    table.replace(context.command()?, &row, version).await?;
    Ok(row)
}

/// The caller's scope here is what he owns, and a row that he gives away is outside of it: so it is read in that scope, and replaced,
/// as it was read, in the scope of whoever may change the organisation.
pub(crate) async fn transfer(
    context: &Context,
    request: TransferOwnerRequest,
) -> Result<Organisation, Refusal> {
    let TransferOwnerRequest { route: _, account: heir } = request;
    let heir_id = account(&heir)?;
    let owned = alive(&context.table()?, organisation(context)?).await?;
    if heir_id == context.account()? {
        return Ok(owned.into_answer());
    }
    // A stranger, or a typing error, would lock the organisation out.
    let members = context.table_for::<Membership>("list")?;
    let membership = member_key(Place::Organisation, heir_id)?;
    let member = members.get(&membership).await?;
    let version = owned.version();
    let row = Organisation { owner: heir, ..owned.into_row() };
    let mut batch = context.batch()?;
    batch.require(&members, &membership, member.version())?;
    batch.replace(&context.table_for::<Organisation>("change")?, &row, version)?;
    batch.commit().await?;
    Ok(row)
}

/// One step: an open organisation is closed, a closing one is ended. Nothing was added since it was closed, as whatever adds requires
/// the row as it was.
pub(crate) async fn delete(context: &Context, request: DeleteRequest) -> Result<DeleteReply, Refusal> {
    let DeleteRequest { route: _ } = request;
    let table = context.table()?;
    let stored = alive(&table, organisation(context)?).await?;
    let done = stored.row().life() == Life::Closing;
    must_be_empty(&context.table_for::<Membership>("list")?).await?;
    must_be_empty(&context.table_for::<Project>("list")?).await?;
    let version = stored.version();
    let mut row = stored.into_row();
    if done {
        row.set_life(Life::Ended);
        row.name.clear();
    } else {
        row.set_life(Life::Closing);
    }
    match table.replace(context.command()?, &row, version).await? {
        Committed::Applied => Ok(DeleteReply { done }),
        // The earlier try closed it, or it would not be found now.
        Committed::Duplicate => Ok(DeleteReply { done: false }),
    }
}

async fn must_be_empty<E: Entity>(table: &Table<E>) -> Result<(), Refusal> {
    let rows: Vec<Stored<E>> = up_to(1, table, &By::Everything).await?;
    if rows.is_empty() { Ok(()) } else { Err(Reason::NotEmpty.into()) }
}
