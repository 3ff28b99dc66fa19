//! Renewal at half of the leaf's life, with a fresh quote.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use holdfast_certs::Identity;
use holdfast_domain::{UnixMs, causes};

use super::{Member, MemberError, files, join::keep};
use crate::{
    attested::{self, Granted, JoinRequest, Joined},
    registries::Registries,
};

/// Waiting time after a renewal that failed, and the least between two of them: a leaf that is half over when it is issued must not
/// keep the TPM busy.
const RETRY: Duration = Duration::from_secs(10);

/// Renews the member's identities for ever. An expired leaf is not the end: the next success brings the member back.
pub async fn keep_renewed(member: Arc<Member>, registries: Registries) {
    loop {
        tokio::time::sleep(until_due(&member)).await;
        match renew(&member, &registries).await {
            Ok(not_after) => tracing::info!(not_after_ms = not_after.0, "identity renewed"),
            Err(error) => tracing::warn!(error = %causes(&error), "renewal failed; trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn renew(member: &Member, registries: &Registries) -> Result<UnixMs, MemberError> {
    let settings = member.settings();
    let request = JoinRequest {
        machine: &member.machine,
        listener: &member.listener,
        role: settings.role,
        advertise: &settings.advertise,
        node: Some(settings.node),
        ticket: None,
        queue: false,
    };
    let addresses = registries.addresses();
    // With an expired leaf the registry sees no identity, and the full join is the way back in.
    let joined = if now() < member.tls_identity.current().not_after() {
        attested::renew(&addresses, &member.registry_dialer(), &request).await?
    } else {
        attested::join(&addresses, settings.root, &request).await?
    };
    match joined {
        Joined::Granted(granted) => take(member, &granted),
        Joined::Pending { id, .. } => Err(MemberError::Pending(id)),
    }
}

fn take(member: &Member, granted: &Granted) -> Result<UnixMs, MemberError> {
    let listener = Identity::from_soft(granted.listener_chain.clone(), &member.listener)
        .map_err(|source| MemberError::Identity(member.folder.part(files::LISTENER_CHAIN), source))?;
    let tls = Identity::from_signer(granted.tls_chain.clone(), Arc::new(member.machine.signer()))
        .map_err(|source| MemberError::Identity(member.folder.part(files::TLS_CHAIN), source))?;
    keep(&member.folder, granted)?;
    let not_after = listener.not_after();
    member.listener_identity.replace(listener);
    member.tls_identity.replace(tls);
    Ok(not_after)
}

/// Until half of the leaf's life is over, give or take 10 % so that members do not come all at once.
fn until_due(member: &Member) -> Duration {
    let leaf = member.listener_identity.current();
    let life_ms = leaf.not_after().since(leaf.not_before());
    let spread = holdfast_keys::random_array::<1>().map_or(50, |[byte]| 45 + u64::from(byte) % 11);
    let due = leaf.not_before().plus_ms(life_ms / 100 * spread);
    Duration::from_millis(due.since(now()))
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
