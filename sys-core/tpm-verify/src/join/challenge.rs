//! Checklist line 8: the challenge that binds AK to EK, and the one-time ticket's signature. Both are made over the transcript.

use holdfast_domain::{CredentialBlob, JoinEvidence, Reason, Signature64, TicketProof, TicketPublic};
use holdfast_keys::{ClientKey, ClientPublic, EntropyError, Secret32, labels, mac};

use super::{ek, keys};
use crate::credential;
use crate::denial::Denial;
use crate::parent::ProtectError;
use crate::transcript::Transcript;

/// A challenge under way: the voter keeps the secret and sends the credential.
pub struct Challenge {
    /// S. Used for one attempt: [`verify_challenge`] consumes it.
    pub secret: Secret32,
    /// S, readable only by the TPM that holds both EK and AK.
    pub credential: CredentialBlob,
}

/// Why no challenge was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// EK or AK is not what its role demands.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The operating system gave no randomness.
    #[error("no randomness for a challenge")]
    Entropy(#[from] EntropyError),
    /// The EK takes no credential.
    #[error("no credential for this EK")]
    Credential(#[from] ProtectError),
}

/// Makes a challenge for the `TPMT_PUBLIC`s of EK and AK in a `JoinInit`.
///
/// # Errors
/// See [`ChallengeError`].
pub fn make_challenge(ek_public: &[u8], ak_public: &[u8]) -> Result<Challenge, ChallengeError> {
    let ek = ek::read(ek_public)?;
    let ak = keys::read_ak(ak_public)?;
    let secret = Secret32::generate()?;
    let credential = credential::make(&ek, ak.name(), secret.expose_for_wrapping())?;
    Ok(Challenge { secret, credential: credential.into() })
}

/// The node's answer: `HMAC-SHA-256(S, T)`.
#[must_use]
pub fn challenge_proof(secret: &Secret32, transcript: &Transcript) -> [u8; 32] {
    mac::tag(secret, &[transcript.as_bytes()])
}

/// Checks the answer, in constant time and once: the secret is gone afterwards. The refusal does not tell a wrong answer from a
/// wrong length.
///
/// # Errors
/// [`Reason::CredentialProof`], or the fault of a key in the evidence.
pub fn verify_challenge(secret: Secret32, evidence: &JoinEvidence, proof: &[u8]) -> Result<(), Denial> {
    let transcript = keys::transcript_of(evidence)?;
    if mac::verify(&secret, &[transcript.as_bytes()], proof) {
        Ok(())
    } else {
        Err(Denial::new(Reason::CredentialProof, "HMAC(S, T) differs"))
    }
}

/// The node's proof that it has a ticket: the ticket is an Ed25519 seed and is never sent.
#[must_use]
pub fn sign_ticket(ticket: &Secret32, transcript: &Transcript) -> TicketProof {
    let key = ClientKey::from_seed(ticket);
    TicketProof {
        ticket: key.public().into(),
        signature: key.sign(labels::TICKET_PROOF, transcript.as_bytes()),
    }
}

/// The ticket that signed this transcript; whether it is unused is the registry's to say.
pub(super) fn check_ticket(
    evidence: &JoinEvidence,
    transcript: &Transcript,
) -> Result<Option<TicketPublic>, Denial> {
    let Some(TicketProof { ticket, signature }) = &evidence.ticket else {
        return Ok(None);
    };
    verify_ticket(*ticket, signature, transcript).map(Some)
}

fn verify_ticket(
    ticket: TicketPublic,
    signature: &Signature64,
    transcript: &Transcript,
) -> Result<TicketPublic, Denial> {
    let refuse = |_| Denial::new(Reason::TicketUnknown, "the ticket did not sign this transcript");
    let key = ClientPublic::try_from(ticket).map_err(|fault| Denial::new(Reason::TicketUnknown, fault))?;
    key.verify(labels::TICKET_PROOF, transcript.as_bytes(), signature).map_err(refuse)?;
    Ok(ticket)
}
