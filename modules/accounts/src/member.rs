//! Memberships: given, listed, taken.

use holdfast_accounts_api::{
    Place,
    v1::{
        Grant, ListMembersReply, ListMembersRequest, Membership, Organisation, Project, PutMemberReply,
        PutMemberRequest, RemoveMemberReply, RemoveMemberRequest,
    },
};
use holdfast_domain::{AccountId, Reason, Role};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Batch, By, QueryError, Table},
};

use crate::{
    limits::MAX_GRANTS,
    page::Paging,
    rows::{account, key, member_key, members_of, open, open_project, organisation, place},
};

/// Each role is checked, and all are given at once or none is.
pub(crate) async fn put(context: &Context, request: PutMemberRequest) -> Result<PutMemberReply, Refusal> {
    let PutMemberRequest { route: _, account: bytes, grants } = request;
    let member = account(&bytes)?;
    if !(1..=MAX_GRANTS).contains(&grants.len()) {
        return Err(Refusal::new(Reason::Malformed).because("a request gives 1 to 16 roles"));
    }
    let grants = grants.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let table = context.table::<Membership>()?;
    let (mut batch, mut memberships) = (context.batch()?, Vec::new());
    for (place, role) in &grants {
        let row = Membership {
            scope: place.to_string(),
            account: bytes.clone(),
            role: role.number(),
            since_ms: since(context, &table, *place, member).await?,
        };
        batch.put(&table, &row)?;
        memberships.push(row);
    }
    require(context, &mut batch, grants.iter().map(|(place, _)| *place)).await?;
    batch.commit().await?;
    Ok(PutMemberReply { memberships })
}

/// A role that can be given, and where.
fn parse(grant: Grant) -> Result<(Place, Role), Refusal> {
    let Grant { scope, role } = grant;
    let role = Role::try_from(role).map_err(|error| Refusal::new(Reason::Malformed).because(error))?;
    if role == Role::SuperAdmin {
        return Err(Refusal::new(Reason::NotPermitted).because("nobody gives this role"));
    }
    Ok((place(&scope)?, role))
}

/// Since when the account is a member; a new one since now.
async fn since(
    context: &Context,
    table: &Table<Membership>,
    place: Place,
    member: AccountId,
) -> Result<u64, Refusal> {
    match table.get(&member_key(place, member)?).await {
        Ok(old) => Ok(old.row().since_ms),
        Err(QueryError::NotFound { .. }) => Ok(context.now().0),
        Err(error) => Err(error.into()),
    }
}

/// Lets memberships be added only if what they are for is still there then, and open.
async fn require(
    context: &Context,
    batch: &mut Batch,
    places: impl Iterator<Item = Place>,
) -> Result<(), Refusal> {
    let organisations = context.table_for::<Organisation>("get")?;
    let projects = context.table_for::<Project>("list")?;
    let home = organisation(context)?;
    let within = open(&organisations, home).await?;
    batch.require(&organisations, &key(home)?, within.version())?;
    for place in places {
        if let Place::Project(id) = place {
            let project = open_project(&projects, id).await?;
            batch.require(&projects, &key(id)?, project.version())?;
        }
    }
    Ok(())
}

pub(crate) async fn list(
    context: &Context,
    request: ListMembersRequest,
) -> Result<ListMembersReply, Refusal> {
    let ListMembersRequest { route: _, scope, cursor, limit } = request;
    let paging = Paging::parse(&cursor, limit)?;
    let by = match &*scope {
        "" => By::Everything,
        scope => By::Prefix(members_of(place(scope)?)?),
    };
    let (memberships, cursor) = paging.of(&context.table()?, &by).await?;
    Ok(ListMembersReply { memberships, cursor })
}

pub(crate) async fn remove(
    context: &Context,
    request: RemoveMemberRequest,
) -> Result<RemoveMemberReply, Refusal> {
    let RemoveMemberRequest { route: _, scope, account: bytes } = request;
    let key = member_key(place(&scope)?, account(&bytes)?)?;
    context.table::<Membership>()?.delete(context.command()?, &key).await?;
    Ok(RemoveMemberReply {})
}
