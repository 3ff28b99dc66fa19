//! Sessions: the encrypted one that secrets travel in, and the policy session that opens a sealed key when the machine
//! booted as the operators approved.
//!
//! Sealed keys carry PolicyAuthorize(operators' policy key, policyRef): the TPM checks the operators' signature over a
//! PCR policy and that the PCRs match it now. So a kernel update is one signed approval, not a bricked node.

use holdfast_keys::Secret32;
use holdfast_tpm_verify::{PcrPolicyProof, signature};
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{Digest, Name, Nonce, Signature, SymmetricDefinition, VerifiedTicket};
use tss_esapi::traits::UnMarshall;

use crate::actor::Device;
use crate::blob::public_from;
use crate::error::JobError;
use crate::pcr;
use crate::provision::{Role, key};

/// A session that satisfies the policy of a sealed key, if the PCRs are as approved.
pub(crate) fn authorized_session(
    device: &mut Device,
    proof: &PcrPolicyProof,
) -> Result<AuthSession, JobError> {
    let (ticket, signer) = verified_ticket(device, proof)?;
    let session = start(device, SessionType::Policy, None)?;
    let policy = PolicySession::try_from(session)?;
    let pcrs = pcr::list(proof.selection())?;
    let approved = Digest::try_from(&proof.approved_policy().as_bytes()[..])?;
    let policy_ref = Nonce::try_from(&proof.policy_ref().as_bytes()[..])?;
    // An empty digest takes the PCRs as they are; PolicyAuthorize then compares with what was approved.
    device.bare(|context| context.policy_pcr(policy, Digest::default(), pcrs))?;
    device.bare(|context| context.policy_authorize(policy, approved, policy_ref, &signer, ticket))?;
    Ok(session)
}

/// The TPM's own word that the operators' policy key signed the approval.
fn verified_ticket(device: &mut Device, proof: &PcrPolicyProof) -> Result<(VerifiedTicket, Name), JobError> {
    let signer = Name::try_from(proof.key().name().as_bytes().to_vec())?;
    let public = public_from(proof.key().public().as_bytes())?;
    // Not the null hierarchy: its tickets are empty and authorize nothing.
    let key = device.bare(|context| context.load_external_public(public, Hierarchy::Owner))?;
    device.track(key);
    let digest = Digest::try_from(&proof.digest()[..])?;
    let signature = Signature::unmarshall(&signature::to_tpm(proof.signature()))?;
    let ticket = device.bare(|context| context.verify_signature(key, digest, signature))?;
    device.release(key)?;
    Ok((ticket, signer))
}

/// A session salted to our SRK that encrypts the first answer parameter: what a secret leaves the TPM in. Nobody on
/// the bus reads it, and nobody can put another TPM's answer in its place.
pub(crate) fn encrypted_session(device: &mut Device) -> Result<AuthSession, JobError> {
    let srk = key(device, Role::Srk)?;
    let session = start(device, SessionType::Hmac, Some(srk))?;
    let (attributes, mask) =
        SessionAttributesBuilder::new().with_continue_session(true).with_encrypt(true).build();
    device.bare(|context| context.tr_sess_set_attributes(session, attributes, mask))?;
    Ok(session)
}

/// Starts a session that is flushed when the job ends.
pub(crate) fn start(
    device: &mut Device,
    kind: SessionType,
    salt: Option<KeyHandle>,
) -> Result<AuthSession, JobError> {
    let cipher = SymmetricDefinition::AES_128_CFB;
    let session = device
        .bare(|context| context.start_auth_session(salt, None, None, kind, cipher, HashingAlgorithm::Sha256))?
        .ok_or(JobError::malformed("answer to StartAuthSession"))?;
    device.track(SessionHandle::from(session));
    let (attributes, mask) = SessionAttributesBuilder::new().with_continue_session(true).build();
    device.bare(|context| context.tr_sess_set_attributes(session, attributes, mask))?;
    Ok(session)
}

/// Takes a 32-byte secret over from the TPM library.
pub(crate) fn secret32(bytes: &[u8]) -> Result<Secret32, JobError> {
    Secret32::from_slice(bytes).map_err(|_| JobError::malformed("length of a secret"))
}
