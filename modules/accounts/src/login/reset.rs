//! A new password for whoever reads the login's address.

use std::sync::Arc;

use holdfast_accounts_api::v1::{
    Login, MailPurpose, MailToken, RequestResetReply, RequestResetRequest, ResetReply, ResetRequest,
};
use holdfast_certs::Peer;
use holdfast_domain::{Reason, Sha256Hash};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Committed, QueryError, Table},
};

use super::{
    Desk,
    codes::{good, issue, unsent},
    mail::{self, Address},
    password::Password,
    rows::{find, login, void_resets},
    token::Token,
};
use crate::{limits::MAX_RACES, rows::key};

/// Answers before it does anything that it does for some names only.
pub(super) async fn request(
    desk: &Arc<Desk>,
    context: &Context,
    peer: &Peer,
    request: RequestResetRequest,
) -> Result<RequestResetReply, Refusal> {
    let RequestResetRequest { route: _ } = request;
    desk.count(peer)?;
    // Codes are issued under it; who names none is told before anything depends on the name.
    context.command()?;
    let mailer = desk.mailer()?;
    let stored = find(&context.table_for("enter")?, login(context)?).await?;
    let place = Arc::clone(&desk.resetting).try_acquire_owned();
    let place = place.map_err(|_| Refusal::new(Reason::Overloaded).because("resets under way"))?;
    let (desk, context) = (Arc::clone(desk), context.clone());
    tokio::spawn(async move {
        let _place = place;
        let Some(row) = stored.map(holdfast_sys_core::query::Stored::into_row) else { return };
        match send(&desk, &context, &*mailer, row).await {
            Ok(()) => {}
            Err(refusal) => tracing::warn!(%refusal, "a reset did not go out"),
        }
    });
    Ok(RequestResetReply {})
}

async fn send(desk: &Desk, context: &Context, mailer: &dyn super::Mailer, row: Login) -> Result<(), Refusal> {
    if row.email.is_empty() {
        return Ok(());
    }
    let address = Address::parse(&row.email)?;
    let (codes, logins) = (context.table()?, context.table_for("enter")?);
    match issue(desk, context, (&codes, &logins), MailPurpose::Reset, &address).await? {
        // He has mail enough, or the address is his no more.
        None => Ok(()),
        Some(token) => mailer.send(mail::reset(address, &token.text())).await.map_err(unsent),
    }
}

pub(super) async fn reset(
    desk: &Desk,
    context: &Context,
    peer: &Peer,
    request: ResetRequest,
) -> Result<ResetReply, Refusal> {
    let ResetRequest { route: _, token, password } = request;
    desk.count(peer)?;
    let password = Password::parse(&password)?;
    let hash = token.parse::<Token>()?.hash(MailPurpose::Reset);
    let codes = context.table::<MailToken>()?;
    if good(desk, &codes, hash).await?.is_none() {
        return spent(context, &codes, hash).await;
    }
    let password_hash = desk.hasher.hash(password).await?;
    for _ in 0..MAX_RACES {
        if let Some(reply) = spend(desk, context, &codes, hash, &password_hash).await? {
            return Ok(reply);
        }
    }
    Err(Refusal::new(Reason::Conflict).because("others were faster each time"))
}

/// Sets the password and voids the codes, all or nothing. `None` if the login or its codes changed meanwhile.
async fn spend(
    desk: &Desk,
    context: &Context,
    codes: &Table<MailToken>,
    hash: Sha256Hash,
    password_hash: &str,
) -> Result<Option<ResetReply>, Refusal> {
    let logins = context.table_for::<Login>("enter")?;
    let stored = find(&logins, login(context)?).await?.ok_or(Reason::CodeUnknown)?;
    let Some(code) = good(desk, codes, hash).await? else {
        return spent(context, codes, hash).await.map(Some);
    };
    // Of the login that it was mailed for, and of the address that is still the verified one.
    if stored.row().account != code.row().account || stored.row().email != code.row().email {
        return Err(Reason::CodeUnknown.into());
    }
    let version = stored.version();
    let password_hash = password_hash.to_owned();
    let row = Login { password_hash, failures: 0, locked_until_ms: 0, ..stored.into_row() };
    let mut batch = context.batch()?;
    batch.replace(&logins, &row, version)?;
    // Gone in the same commit, or there is none: two that have the code do not both get there.
    batch.delete(codes, &key(hash)?)?;
    void_resets(&mut batch, codes, Some(hash)).await?;
    match batch.commit().await {
        Ok(Committed::Applied | Committed::Duplicate) => Ok(Some(ResetReply {})),
        Err(QueryError::Changed { .. } | QueryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The answer to a code that is good no more: unknown, unless this very command spent it.
async fn spent(context: &Context, codes: &Table<MailToken>, hash: Sha256Hash) -> Result<ResetReply, Refusal> {
    match codes.delete(context.command()?, &key(hash)?).await {
        Ok(Committed::Duplicate) => Ok(ResetReply {}),
        Ok(Committed::Applied) | Err(QueryError::NotFound { .. }) => Err(Reason::CodeUnknown.into()),
        Err(error) => Err(error.into()),
    }
}
