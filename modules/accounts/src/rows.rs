//! Rows as the handlers need them: their keys, and how far they are on their way to be deleted.

use bytes::Bytes;
use holdfast_accounts_api::v1::{Life, Organisation, Project};
use holdfast_domain::{AccountId, HomeId, OrgId, ProjectId, Reason};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{RowKey, Stored, Table},
};

use holdfast_accounts_api::Place;

/// The organisation whose home the request addresses.
///
/// # Errors
/// `Malformed` for an account's home.
pub(crate) fn organisation(context: &Context) -> Result<OrgId, Refusal> {
    match context.home() {
        HomeId::Organisation(id) => Ok(id),
        HomeId::Account(_) | HomeId::Login(_) => {
            Err(Refusal::new(Reason::Malformed).because("the route names no organisation's home"))
        }
    }
}

/// The key of a row whose key is an id.
pub(crate) fn key(id: impl ToString) -> Result<RowKey, Refusal> {
    row_key(vec![id.to_string()])
}

/// The key of a name's row.
pub(crate) fn name_key(name: &str) -> Result<RowKey, Refusal> {
    row_key(vec![name.to_owned()])
}

/// The key of a membership.
pub(crate) fn member_key(place: Place, account: AccountId) -> Result<RowKey, Refusal> {
    row_key(vec![place.to_string(), account.to_string()])
}

/// All memberships in a place.
pub(crate) fn members_of(place: Place) -> Result<RowKey, Refusal> {
    row_key(vec![place.to_string()])
}

fn row_key(values: Vec<String>) -> Result<RowKey, Refusal> {
    RowKey::new(values).map_err(|error| Refusal::new(Reason::Internal).because(error))
}

/// An account that a request names.
///
/// # Errors
/// `Malformed` for bytes of another length.
pub(crate) fn account(bytes: &Bytes) -> Result<AccountId, Refusal> {
    bytes.as_ref().try_into().map_err(|error| Refusal::new(Reason::Malformed).because(error))
}

/// A project that a request names.
///
/// # Errors
/// `Malformed` for bytes of another length.
pub(crate) fn project(bytes: &Bytes) -> Result<ProjectId, Refusal> {
    bytes.as_ref().try_into().map_err(|error| Refusal::new(Reason::Malformed).because(error))
}

/// The organisation as the caller may touch it, unless it has ended.
///
/// # Errors
/// `NotFound`, and the store's refusals.
pub(crate) async fn alive(table: &Table<Organisation>, id: OrgId) -> Result<Stored<Organisation>, Refusal> {
    let stored = table.get(&key(id)?).await?;
    if stored.row().life() == Life::Ended { Err(Reason::NotFound.into()) } else { Ok(stored) }
}

/// The organisation, if things can be added to it.
///
/// # Errors
/// `NotFound` from the first call that deletes it on, and the store's refusals.
pub(crate) async fn open(table: &Table<Organisation>, id: OrgId) -> Result<Stored<Organisation>, Refusal> {
    let stored = table.get(&key(id)?).await?;
    if stored.row().life() == Life::Open { Ok(stored) } else { Err(closing()) }
}

/// A project, if things can be done to it.
///
/// # Errors
/// `NotFound` from the first call that deletes it on, and the store's refusals.
pub(crate) async fn open_project(table: &Table<Project>, id: ProjectId) -> Result<Stored<Project>, Refusal> {
    let stored = table.get(&key(id)?).await?;
    if stored.row().life() == Life::Open { Ok(stored) } else { Err(closing()) }
}

fn closing() -> Refusal {
    Refusal::new(Reason::NotFound).because("it is being deleted")
}

/// Where a request's membership is.
///
/// # Errors
/// `Malformed` for what is no place.
pub(crate) fn place(scope: &str) -> Result<Place, Refusal> {
    scope.parse().map_err(|error| Refusal::new(Reason::Malformed).because(error))
}
