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
    rows::{bytes_of, find, login, own_command, token_key, tokens, void_resets},
};
use crate::{limits::MAX_RACES, rows::key};

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
    let codes = context.table_for::<MailToken>("use")?;
    for _ in 0..MAX_RACES {
        let stored = must(&table, context).await?;
        let (version, password_hash) = (stored.version(), hash.clone());
        let row = Login { password_hash, failures: 0, locked_until_ms: 0, ..stored.into_row() };
        let mut batch = context.batch()?;
        batch.replace(&table, &row, version)?;
        void_resets(&mut batch, &codes, None).await?;
        match batch.commit().await {
            Ok(_) => return Ok(must(&table, context).await?.into_answer()),
            // A try that was counted, or a code that was issued.
            Err(QueryError::Changed { .. } | QueryError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::new(Reason::Conflict).because("others were faster each time"))
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
    // Those that were issued meanwhile. No more are: there is no login to issue them for.
    for stored in tokens(&codes).await? {
        match codes.delete(own_command()?, &token_key(stored.row())?).await {
            Ok(_) | Err(QueryError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(RemoveLoginReply {})
}

/// The caller's login.
pub(super) async fn must(table: &Table<Login>, context: &Context) -> Result<Stored<Login>, Refusal> {
    find(table, login(context)?).await?.ok_or(Reason::NotFound.into())
}
