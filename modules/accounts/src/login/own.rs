//! What an account does with its own login.

use std::time::Instant;

use bytes::Bytes;
use holdfast_accounts_api::v1::{
    CreateLoginRequest, GetLoginRequest, Login, MailToken, RemoveLoginReply, RemoveLoginRequest,
    SetPasswordRequest,
};
use holdfast_domain::Reason;
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Committed, QueryError, Stored, Table},
};

use super::{
    Desk,
    password::Password,
    rows::{bytes_of, find, login, token_key, tokens, void_resets},
};
use crate::rows::key;

pub(super) async fn create(
    desk: &Desk,
    context: &Context,
    request: CreateLoginRequest,
) -> Result<Login, Refusal> {
    let CreateLoginRequest { route: _, password } = request;
    let (id, account, password) = (login(context)?, context.account()?, Password::parse(&password)?);
    let counted = desk.made.take(account, Instant::now());
    counted.map_err(|_| Refusal::new(Reason::RateLimited).because("logins made"))?;
    let row = Login {
        id: Bytes::copy_from_slice(id.as_bytes()),
        account: bytes_of(account),
        password_hash: desk.hasher.hash(password).await?,
        created_ms: desk.clock.now().0,
        ..Login::default()
    };
    let table = context.table::<Login>()?;
    match table.insert(context.command()?, &row).await {
        Ok(Committed::Applied | Committed::Duplicate) => Ok(must(&table, context).await?.into_answer()),
        // Another's, which is hidden: but a name is taken or it is not, and who has an account is told.
        Err(QueryError::NotFound { .. }) => Err(Refusal::new(Reason::AlreadyExists).because("another's")),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn get(context: &Context, request: GetLoginRequest) -> Result<Login, Refusal> {
    let GetLoginRequest { route: _ } = request;
    Ok(must(&context.table()?, context).await?.into_answer())
}

pub(super) async fn set_password(
    desk: &Desk,
    context: &Context,
    request: SetPasswordRequest,
) -> Result<Login, Refusal> {
    let SetPasswordRequest { route: _, password } = request;
    let password = Password::parse(&password)?;
    let table = context.table::<Login>()?;
    must(&table, context).await?;
    let hash = desk.hasher.hash(password).await?;
    let stored = must(&table, context).await?;
    let version = stored.version();
    let row = Login { password_hash: hash, failures: 0, locked_until_ms: 0, ..stored.into_row() };
    let mut batch = context.batch()?;
    batch.replace(&table, &row, version)?;
    void_resets(&mut batch, &context.table_for::<MailToken>("use")?, None).await?;
    batch.commit().await?;
    Ok(must(&table, context).await?.into_answer())
}

/// With its codes, so that none of them outlives it.
pub(super) async fn remove(
    context: &Context,
    request: RemoveLoginRequest,
) -> Result<RemoveLoginReply, Refusal> {
    let RemoveLoginRequest { route: _ } = request;
    let codes = context.table_for::<MailToken>("use")?;
    let mut batch = context.batch()?;
    batch.delete(&context.table::<Login>()?, &key(login(context)?)?)?;
    for stored in tokens(&codes).await? {
        batch.delete(&codes, &token_key(stored.row())?)?;
    }
    batch.commit().await?;
    Ok(RemoveLoginReply {})
}

/// The caller's login.
pub(super) async fn must(table: &Table<Login>, context: &Context) -> Result<Stored<Login>, Refusal> {
    find(table, login(context)?).await?.ok_or(Reason::NotFound.into())
}
