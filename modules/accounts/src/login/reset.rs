//! A new password for whoever reads the login's address.

use std::sync::Arc;

use holdfast_accounts_api::v1::{
    Login, MailPurpose, MailToken, RequestResetReply, RequestResetRequest, ResetReply, ResetRequest,
};
use holdfast_certs::Peer;
use holdfast_domain::Reason;
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Committed, QueryError},
};

use super::{
    Desk,
    codes::{good, issue, unsent},
    mail::{self, Address},
    password::Password,
    rows::{find, login, void_resets},
    token::Token,
};
use crate::{limits::RESET_MS, rows::key};

/// Answers before it does anything that it does for some names only.
pub(super) async fn request(
    desk: &Arc<Desk>,
    context: &Context,
    peer: &Peer,
    request: RequestResetRequest,
) -> Result<RequestResetReply, Refusal> {
    let RequestResetRequest { route: _ } = request;
    desk.count(peer)?;
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
    let (address, account) = (Address::parse(&row.email)?, crate::rows::account(&row.account)?);
    let codes = context.table::<MailToken>()?;
    match issue(desk, &codes, account, MailPurpose::Reset, &address, RESET_MS).await? {
        // He has mail enough.
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
    let (id, password) = (login(context)?, Password::parse(&password)?);
    let hash = token.parse::<Token>()?.hash(MailPurpose::Reset);
    let (codes, logins) = (context.table::<MailToken>()?, context.table_for::<Login>("enter")?);
    let unknown = || Refusal::new(Reason::CodeUnknown);
    let Some(code) = good(desk, &codes, hash).await? else {
        // Unless this very command spent it.
        return match codes.delete(context.command()?, &key(hash)?).await {
            Ok(Committed::Duplicate) => Ok(ResetReply {}),
            Ok(Committed::Applied) | Err(QueryError::NotFound { .. }) => Err(unknown()),
            Err(error) => Err(error.into()),
        };
    };
    let password_hash = desk.hasher.hash(password).await?;
    let stored = find(&logins, id).await?.ok_or_else(unknown)?;
    // Of the login that it was mailed for, and of the address that is still the verified one.
    if stored.row().account != code.row().account || stored.row().email != code.row().email {
        return Err(unknown());
    }
    let version = stored.version();
    let row = Login { password_hash, failures: 0, locked_until_ms: 0, ..stored.into_row() };
    let mut batch = context.batch()?;
    batch.replace(&logins, &row, version)?;
    // Gone in the same commit, or there is none: two that have the code do not both get there.
    batch.delete(&codes, &key(hash)?)?;
    void_resets(&mut batch, &codes, Some(hash)).await?;
    batch.commit().await?;
    Ok(ResetReply {})
}
