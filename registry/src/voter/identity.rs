//! A voter's own leaves: it is an authority itself, so that a cluster that was off for a month needs nobody to start again.
//!
//! The keys stay the same, as the membership pins them. Each renewal quotes the TPM and is committed like any other member's.

use std::{sync::Arc, time::Duration};

use holdfast_certs::{Identity, IdentityError, IssueError};
use holdfast_domain::{NodeRole, UnixMs};
use holdfast_enrol::{folder::FolderError, member::files};
use holdfast_keys::{EntropyError, Signer as _, random_array};
use holdfast_registry_state::{Act, Renewal, TpmClock};
use holdfast_sys_core::Refusal;
use holdfast_tpm_node::TpmError;
use holdfast_tpm_verify::{Malformed, attest::Attest};
use tokio::sync::watch;

use super::Voter;
use crate::{authority::MACHINE_LEAF_MS, limits::RENEWAL_RETRY};

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("the TPM")]
    Tpm(#[from] TpmError),
    #[error("the TPM's quote")]
    Quote(#[from] Malformed),
    #[error("no nonce")]
    Entropy(#[from] EntropyError),
    #[error("{}: {}", .0.reason().code(), .0.reason().text())]
    Refused(Refusal),
    #[error("no new leaf")]
    Issue(#[from] IssueError),
    #[error("the new leaf")]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl From<Refusal> for RenewalError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Runs for ever; tells whenever the own leaf is valid.
pub(crate) async fn run(voter: Arc<Voter>, valid: watch::Sender<bool>) {
    loop {
        let now = voter.core.now();
        let leaf = voter.member.listener_identity.current();
        valid.send_replace(now < leaf.not_after());
        let due = leaf.not_after().0.saturating_sub(MACHINE_LEAF_MS / 2);
        if now < UnixMs(due) {
            tokio::time::sleep(Duration::from_millis(due.saturating_sub(now.0))).await;
            continue;
        }
        match renew(&voter).await {
            Ok(not_after) => tracing::info!(not_after_ms = not_after.0, "own identity renewed"),
            Err(error) => {
                let not_ready = matches!(&error, RenewalError::Refused(refusal)
                    if refusal.reason() == holdfast_domain::Reason::NotReady);
                if !not_ready {
                    tracing::warn!(%error, "own identity not renewed yet");
                }
                tokio::time::sleep(RENEWAL_RETRY).await;
            }
        }
    }
}

async fn renew(voter: &Voter) -> Result<UnixMs, RenewalError> {
    let (core, member) = (&voter.core, &voter.member);
    let secrets = core.issuer()?;
    core.propose(core.myself(), Act::Renew(prove(voter).await?)).await?;
    let issue = |key| secrets.authorities.machine(NodeRole::Registry, core.me(), key, core.now());
    let (listener, tls) = (issue(member.listener.public())?, issue(*member.machine.keys().tls.key())?);
    member.folder.put(files::LISTENER_CHAIN, &listener.chain)?;
    member.folder.put(files::TLS_CHAIN, &tls.chain)?;
    member.listener_identity.replace(Identity::from_soft(listener.chain, &member.listener)?);
    member.tls_identity.replace(Identity::from_signer(tls.chain, Arc::new(member.machine.signer()))?);
    Ok(listener.not_after)
}

/// What this machine's TPM says of itself now.
async fn prove(voter: &Voter) -> Result<Renewal, RenewalError> {
    let (member, tpm) = (&voter.member, voter.member.machine.tpm());
    let selection = &member.genesis.pcr_selection;
    let quote = tpm.quote(selection, random_array()?).await?;
    let clock = Attest::parse(&quote.attest)?.clock;
    Ok(Renewal {
        node: voter.core.me(),
        address: member.settings().advertise.clone(),
        listener: member.listener.public().spki_hash(),
        clock: TpmClock {
            reset: clock.reset_count,
            restart: clock.restart_count,
            clock: clock.clock_ms,
            safe: clock.safe,
        },
        pcrs: tpm.pcr_values(selection).await?,
    })
}
