//! Codes that go by mail: issued, and used to show who reads an address.

use std::time::Instant;

use bytes::Bytes;
use holdfast_accounts_api::v1::{
    Login, MailPurpose, MailToken, RequestVerificationReply, RequestVerificationRequest, VerifyRequest,
};
use holdfast_domain::{Reason, UnixMs};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{Committed, QueryError, Stored, Table},
};

use super::{
    Desk,
    mail::{Address, verification},
    own::must,
    rows::{find_token, token_key, tokens},
    token::Token,
};
use crate::{
    limits::{MAX_MAIL_TOKENS, MAX_RACES, RESET_MS, VERIFY_MS},
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
    let (codes, logins) = (context.table()?, context.table_for("change")?);
    let token = issue(desk, context, (&codes, &logins), MailPurpose::Verify, &address).await?;
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
///
/// All on condition that the login is what it was before the codes were counted, and it counts as changed then: of those that are issued
/// at once, or while codes are voided, one happens and the others look again.
pub(super) async fn issue(
    desk: &Desk,
    context: &Context,
    tables: (&Table<MailToken>, &Table<Login>),
    purpose: MailPurpose,
    address: &Address,
) -> Result<Option<Token>, Refusal> {
    let (codes, logins) = tables;
    for _ in 0..MAX_RACES {
        let login = must(logins, context).await?;
        // A code to set the password goes to the address that is verified at the time.
        if purpose == MailPurpose::Reset && login.row().email != address.as_str() {
            return Ok(None);
        }
        let (now, mut good, mut batch) = (desk.clock.now(), 0, context.batch()?);
        for stored in tokens(codes).await? {
            if expired(stored.row(), now) {
                batch.delete(codes, &token_key(stored.row())?)?;
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
            account: login.row().account.clone(),
            purpose: purpose.into(),
            email: address.as_str().to_owned(),
            expires_ms: now.0.saturating_add(good_for_ms(purpose)),
        };
        batch.insert(codes, &row)?;
        let version = login.version();
        batch.replace(logins, &login.into_row(), version)?;
        match batch.commit().await {
            Ok(Committed::Applied) => return Ok(Some(token)),
            // Of an earlier try of this request, which nobody remembers: only its hash is stored.
            Ok(Committed::Duplicate) => {
                return Err(Refusal::new(Reason::MailUnsent).because("the request had its code already"));
            }
            Err(QueryError::Changed { .. } | QueryError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::new(Reason::Conflict).because("others were faster each time"))
}

const fn good_for_ms(purpose: MailPurpose) -> u64 {
    match purpose {
        MailPurpose::Unspecified => 0,
        MailPurpose::Verify => VERIFY_MS,
        MailPurpose::Reset => RESET_MS,
    }
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
