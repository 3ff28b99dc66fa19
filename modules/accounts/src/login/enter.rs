//! Signing in.

use holdfast_accounts_api::v1::{Login, SignInReply, SignInRequest};
use holdfast_certs::Peer;
use holdfast_domain::{ClientId, LoginId, Reason, Signature64, UnixMs};
use holdfast_keys::{ClientPublic, SignIn};
use holdfast_sys_core::{
    Refusal,
    gate::Context,
    query::{QueryError, Table},
};

use super::{
    Admission, Desk,
    lockout::Failures,
    password::{Password, Verdict},
    rows::{bytes_of, find, login, own_command},
};
use crate::limits::{ADMITTED_MS, MAX_RACES, REFUSED_AFTER};

/// A request that makes sense, whatever the name.
struct Try {
    login: LoginId,
    password: Password,
    client: ClientId,
    key: ClientPublic,
}

pub(super) async fn sign_in(
    desk: &Desk,
    context: &Context,
    peer: &Peer,
    request: SignInRequest,
) -> Result<SignInReply, Refusal> {
    let until = tokio::time::Instant::now() + REFUSED_AFTER;
    // Neither depends on whether somebody has the name.
    desk.count(peer)?;
    let tried = parse(context, peer, request)?;
    let (login, client) = (tried.login, tried.client);
    let entered = enter(desk, context, tried).await;
    record(login, client, peer, &entered);
    if entered.is_err() {
        tokio::time::sleep_until(until).await;
    }
    entered
}

/// The guard let a stranger ask; what came of it is a decision of its own.
fn record(login: LoginId, client: ClientId, peer: &Peer, entered: &Result<SignInReply, Refusal>) {
    let address = peer.addr;
    match entered {
        Ok(_) => tracing::info!(target: "audit", decision = "sign_in", %login, %client, %address),
        Err(refusal) => {
            let reason = refusal.reason().code();
            tracing::info!(target: "audit", decision = "no_sign_in", %login, %address, reason);
        }
    }
}

fn parse(context: &Context, peer: &Peer, request: SignInRequest) -> Result<Try, Refusal> {
    let SignInRequest { route: _, password, client_id, key, proof } = request;
    let malformed = |what: &dyn std::fmt::Display| Refusal::new(Reason::Malformed).because(what);
    let login = login(context)?;
    let client = ClientId::try_from(&*client_id).map_err(|error| malformed(&error))?;
    let key = ClientPublic::from_bytes(&key).map_err(|error| malformed(&error))?;
    let proof: [u8; 64] = (&*proof).try_into().map_err(|_| malformed(&"the proof's length"))?;
    let message = SignIn { login, exporter: peer.exporter.as_bytes(), client, key: &key }.message();
    key.verify_raw(&message, &Signature64(proof))
        .map_err(|error| Refusal::new(Reason::ProofOfPossession).because(error))?;
    Ok(Try { login, password: Password::parse(&password)?, client, key })
}

async fn enter(desk: &Desk, context: &Context, tried: Try) -> Result<SignInReply, Refusal> {
    let Try { login, password, client, key } = tried;
    let table = context.table::<Login>()?;
    // First of all: whoever is turned away here is told nothing about the name, and no try of his is counted.
    let place = desk.hasher.place()?;
    let row = count(&table, login, desk.clock.now()).await?;
    let hash = row.as_ref().map(|row| row.password_hash.clone());
    let verdict = desk.hasher.verify(place, hash, &password).await?;
    let right = row.filter(|_| verdict != Verdict::Wrong);
    let row = right.ok_or_else(|| refused("wrong, unknown or locked"))?;
    let account = crate::rows::account(&row.account)?;
    let now = desk.clock.now();
    let expires = UnixMs(now.0.saturating_add(ADMITTED_MS));
    desk.devices.admit(Admission { account, client, key, login, expires }).await?;
    let fresh = match verdict {
        // Or at another sign-in, when there is room.
        Verdict::Outdated => desk.hasher.hash(password).await.ok(),
        Verdict::Right | Verdict::Wrong => None,
    };
    forgive(&table, login, &row.password_hash, fresh).await?;
    Ok(SignInReply { account_id: bytes_of(account), expires_ms: expires.0 })
}

/// Counts the try before its password is looked at, so that many at once are as many. `None` for a name that is unknown or
/// locked, and for a try that could not be counted: what only known names meet is answered like an unknown one, with as much effort.
async fn count(table: &Table<Login>, id: LoginId, now: UnixMs) -> Result<Option<Login>, Refusal> {
    for _ in 0..MAX_RACES {
        let Some(stored) = find(table, id).await? else { return Ok(None) };
        let before = failures(stored.row());
        if before.locked(now) {
            return Ok(None);
        }
        let Failures { count, locked_until } = before.one_more(now);
        let version = stored.version();
        let row = Login { failures: count, locked_until_ms: locked_until.0, ..stored.into_row() };
        match table.replace(own_command()?, &row, version).await {
            Ok(_) => return Ok(Some(row)),
            Err(QueryError::Changed { .. } | QueryError::NotFound { .. }) => {}
            // The home moved: the client goes after it.
            Err(error) if matches!(error.reason(), Reason::StaleMap | Reason::WrongGroup) => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!(%error, "a sign-in could not be counted");
                return Ok(None);
            }
        }
    }
    Ok(None)
}

/// Forgets the failures, unless the password was changed meanwhile, and takes a hash of today's effort.
async fn forgive(
    table: &Table<Login>,
    id: LoginId,
    used: &str,
    fresh: Option<String>,
) -> Result<(), Refusal> {
    for _ in 0..MAX_RACES {
        let Some(stored) = find(table, id).await? else { return Ok(()) };
        if stored.row().password_hash != used {
            return Ok(());
        }
        let version = stored.version();
        let mut row = Login { failures: 0, locked_until_ms: 0, ..stored.into_row() };
        if let Some(hash) = &fresh {
            row.password_hash.clone_from(hash);
        }
        match table.replace(own_command()?, &row, version).await {
            Ok(_) => return Ok(()),
            Err(QueryError::Changed { .. } | QueryError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The key is admitted; the next success forgives.
    Ok(())
}

fn failures(row: &Login) -> Failures {
    Failures { count: row.failures, locked_until: UnixMs(row.locked_until_ms) }
}

/// The one answer.
fn refused(detail: &str) -> Refusal {
    Refusal::new(Reason::SignInRefused).because(detail)
}
