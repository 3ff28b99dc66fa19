//! Rows of a login's home.

use bytes::Bytes;
use holdfast_accounts_api::v1::{Login, MailPurpose, MailToken};
use holdfast_domain::{AccountId, CommandId, HomeId, LoginId, Reason, Sha256Hash};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Batch, By, QueryError, RowKey, Stored, Table},
};

use crate::{page::up_to, rows::key};

/// The login whose home the request addresses.
///
/// # Errors
/// `Malformed` for other homes.
pub(super) fn login(context: &Context) -> Result<LoginId, Refusal> {
    match context.home() {
        HomeId::Login(id) => Ok(id),
        HomeId::Account(_) | HomeId::Organisation(_) => {
            Err(Refusal::new(Reason::Malformed).because("the route names no login's home"))
        }
    }
}

/// The home's login, if the caller may touch one.
///
/// # Errors
/// The store's refusals.
pub(super) async fn find(table: &Table<Login>, id: LoginId) -> Result<Option<Stored<Login>>, Refusal> {
    found(table.get(&key(id)?).await)
}

/// A code's row.
///
/// # Errors
/// The store's refusals.
pub(super) async fn find_token(
    table: &Table<MailToken>,
    hash: Sha256Hash,
) -> Result<Option<Stored<MailToken>>, Refusal> {
    found(table.get(&key(hash)?).await)
}

fn found<E>(read: Result<Stored<E>, QueryError>) -> Result<Option<Stored<E>>, Refusal> {
    match read {
        Ok(stored) => Ok(Some(stored)),
        Err(QueryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All codes of the home that the caller may touch. What is done to them is done on condition that the login's row is what it was before
/// this: codes are issued and voided on that condition only, and change it.
///
/// # Errors
/// The store's refusals.
pub(super) async fn tokens(table: &Table<MailToken>) -> Result<Vec<Stored<MailToken>>, Refusal> {
    // Each, for one that is missed is not voided; the home's quota bounds them.
    up_to(usize::MAX, table, &By::Everything).await
}

/// The key of a code's row.
///
/// # Errors
/// Never for a hash of 32 bytes.
pub(super) fn token_key(row: &MailToken) -> Result<RowKey, Refusal> {
    key(hex::encode(&row.hash))
}

/// Voids every code that could set the password, but for one that is dealt with already. For a batch that replaces the login's row as it
/// was read before this.
///
/// # Errors
/// The store's refusals.
pub(super) async fn void_resets(
    batch: &mut Batch,
    table: &Table<MailToken>,
    but: Option<Sha256Hash>,
) -> Result<(), Refusal> {
    for stored in tokens(table).await? {
        let spent = but.is_some_and(|but| stored.row().hash == but.as_bytes().as_slice());
        if stored.row().purpose() == MailPurpose::Reset && !spent {
            batch.delete(table, &token_key(stored.row())?)?;
        }
    }
    Ok(())
}

/// For what a stranger's request makes happen, whatever command id it names: else one id would make many tries one.
///
/// # Errors
/// `Internal` without randomness.
pub(super) fn own_command() -> Result<CommandId, Refusal> {
    let bytes =
        holdfast_keys::random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
    Ok(CommandId::new(bytes))
}

pub(super) fn bytes_of(account: AccountId) -> Bytes {
    Bytes::copy_from_slice(account.as_bytes())
}
