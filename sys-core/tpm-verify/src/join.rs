//! Join evidence, checked: the whole checklist but its replicated-state lines (allow list, bans, bindings, the challenge's life),
//! which are the registry's. Every replica runs the same [`verify`] before it wraps a key to a newcomer.

mod attestations;
mod boot;
mod challenge;
mod context;
mod ek;
mod keys;
mod node;
mod requests;

pub use challenge::{
    Challenge, ChallengeError, challenge_proof, make_challenge, sign_ticket, verify_challenge,
};
pub use context::{UnmeasuredPcrs, VerifyContext};
pub use keys::transcript_of;
pub use node::AttestedNode;

use holdfast_domain::{JoinEvidence, Reason};

use crate::denial::Denial;

/// Runs the checklist over `evidence`: pure CPU, no I/O, no clock. Dominated by the signatures of three attestations, two
/// certificate requests, the EK chain and the ticket.
///
/// # Errors
/// The first line that fails, as a [`Denial`].
pub fn verify(context: &VerifyContext<'_>, evidence: &JoinEvidence) -> Result<AttestedNode, Denial> {
    if evidence.cluster != context.cluster {
        return Err(Denial::new(Reason::WrongCluster, "evidence of another cluster"));
    }
    let ek = ek::check(context, evidence)?;
    let keys = keys::read(evidence)?;
    let listener = requests::check(evidence, &keys.tls)?;
    let transcript = keys.transcript(&ek.public, evidence);
    let quote = attestations::check(evidence, &ek.public, &keys, &transcript)?;
    boot::check(context, evidence, &quote)?;
    let ticket = challenge::check_ticket(evidence, &transcript)?;
    Ok(AttestedNode {
        node_id: ek.public.node_id(evidence.cluster),
        role: evidence.role,
        class: ek.class,
        anchor: ek.anchor,
        ek: ek.public,
        ak: keys.ak,
        srk: keys.srk,
        tls: keys.tls,
        listener,
        selection: quote.selection,
        pcrs: evidence.pcrs.clone(),
        pcr_digest: quote.digest,
        clock: quote.clock,
        firmware_version: quote.firmware_version,
        ticket,
        transcript,
    })
}

#[cfg(test)]
mod tests;
