//! Codes that go by mail: issued, and used to show who reads an address.

use std::time::Instant;

use bytes::Bytes;
use holdfast_accounts_api::v1::{
    Login, MailPurpose, MailToken, RequestVerificationReply, RequestVerificationRequest, VerifyRequest,
};
use holdfast_domain::{AccountId, Reason, UnixMs};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Committed, QueryError, Stored, Table},
};

use super::{
    Desk,
    mail::{Address, verification},
    own::must,
    rows::{bytes_of, find_token, own_command, token_key, tokens},
    token::Token,
};
use crate::{
    limits::{MAX_MAIL_TOKENS, VERIFY_MS},
    rows::key,
};

pub(super) async fn request(
    desk: &Desk,
    context: &Context,
    request: RequestVerificationRequest,
) -> Result<RequestVerificationReply, Refusal> {
    let RequestVerificationRequest { route: _, email } = request;
    let (mailer, account) = (desk.mailer()?, context.account()?);
    let address = Address::parse(&email)?;
    must(&context.table_for("get")?, context).await?;
    let counted = desk.mailed.take(account, Instant::now());
    counted.map_err(|_| Refusal::new(Reason::RateLimited).because("mails asked for"))?;
    let purpose = MailPurpose::Verify;
    let token = issue(desk, &context.table()?, account, purpose, &address, VERIFY_MS).await?;
    let token = token.ok_or_else(|| Refusal::new(Reason::TooMany).because("codes that are still good"))?;
    mailer.send(verification(address, &token.text())).await.map_err(unsent)?;
    Ok(RequestVerificationReply {})
}

/// A code of the caller's own login, seen in the mail.
pub(super) async fn verify(desk: &Desk, context: &Context, request: VerifyRequest) -> Result<Login, Refusal> {
    let VerifyRequest { route: _, token } = request;
    let hash = token.parse::<Token>()?.hash(MailPurpose::Verify);
    let (codes, logins) = (context.table::<MailToken>()?, context.table_for::<Login>("change")?);
    let Some(code) = good(desk, &codes, hash).await? else {
        // Unless this very command used it.
        return match codes.delete(context.command()?, &key(hash)?).await {
            Ok(Committed::Duplicate) => Ok(must(&logins, context).await?.into_answer()),
            Ok(Committed::Applied) | Err(QueryError::NotFound { .. }) => Err(Reason::CodeUnknown.into()),
            Err(error) => Err(error.into()),
        };
    };
    let stored = must(&logins, context).await?;
    let version = stored.version();
    let email = code.row().email.clone();
    let row = Login { email, verified_ms: desk.clock.now().0, ..stored.into_row() };
    let mut batch = context.batch()?;
    batch.delete(&codes, &token_key(code.row())?)?;
    batch.replace(&logins, &row, version)?;
    batch.commit().await?;
    Ok(must(&logins, context).await?.into_answer())
}

/// A new code, or `None` while as many as can be are good. Those that have expired go.
pub(super) async fn issue(
    desk: &Desk,
    codes: &Table<MailToken>,
    account: AccountId,
    purpose: MailPurpose,
    address: &Address,
    good_for_ms: u64,
) -> Result<Option<Token>, Refusal> {
    let now = desk.clock.now();
    let mut good = 0;
    for stored in tokens(codes).await? {
        if expired(stored.row(), now) {
            codes.delete(own_command()?, &token_key(stored.row())?).await?;
        } else if stored.row().purpose() == purpose {
            good += 1;
        }
    }
    if good >= MAX_MAIL_TOKENS / 2 {
        return Ok(None);
    }
    let token = Token::draw()?;
    let row = MailToken {
        hash: Bytes::copy_from_slice(token.hash(purpose).as_bytes()),
        account: bytes_of(account),
        purpose: purpose.into(),
        email: address.as_str().to_owned(),
        expires_ms: now.0.saturating_add(good_for_ms),
    };
    codes.insert(own_command()?, &row).await?;
    Ok(Some(token))
}

/// The row of a code that is still good.
pub(super) async fn good(
    desk: &Desk,
    codes: &Table<MailToken>,
    hash: holdfast_domain::Sha256Hash,
) -> Result<Option<Stored<MailToken>>, Refusal> {
    let now = desk.clock.now();
    Ok(find_token(codes, hash).await?.filter(|stored| !expired(stored.row(), now)))
}

fn expired(row: &MailToken, now: UnixMs) -> bool {
    now.0 >= row.expires_ms
}

pub(super) fn unsent(error: super::MailError) -> Refusal {
    tracing::warn!(%error, "a mail was not sent");
    Refusal::new(Reason::MailUnsent).because(error)
}
