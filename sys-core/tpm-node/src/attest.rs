//! What the node proves: that AK and EK share a TPM (ActivateCredential), that its keys live there (Certify), and how
//! the machine booted (Quote). Every attestation carries the transcript it was made for.

use holdfast_domain::{Attested, CredentialBlob, PcrSelection};
use holdfast_keys::Secret32;
use holdfast_tpm_verify::roles::EK_HIGH_ATTRIBUTES;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{AuthHandle, KeyHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Attest, Data, Digest, EncryptedSecret, HashScheme, IdObject, Nonce, Signature, SignatureScheme,
};
use tss_esapi::traits::Marshall;

use crate::actor::{Device, Priority, Tpm};
use crate::error::{JobError, TpmError};
use crate::provision::{Role, key};
use crate::{pcr, policy, tls_key};

pub(crate) const ECDSA_SHA256: SignatureScheme =
    SignatureScheme::EcDsa { hash_scheme: HashScheme::new(HashingAlgorithm::Sha256) };

impl Tpm {
    /// Opens a credential made for our EK and AK: possible only in the TPM that holds both.
    ///
    /// # Errors
    /// [`TpmError::Refused`] for a credential of another EK or AK.
    pub async fn activate(&self, credential: CredentialBlob) -> Result<Secret32, TpmError> {
        self.run(Priority::Urgent, "ActivateCredential", move |device| activate(device, &credential)).await
    }

    /// The AK's word that the TLS key lives in this TPM, bound to `transcript`.
    ///
    /// # Errors
    /// The TPM refused or is not provisioned.
    pub async fn certify_tls(&self, transcript: [u8; 32]) -> Result<Attested, TpmError> {
        self.run(Priority::Urgent, "Certify", move |device| {
            tls_key::with_loaded(device, |device, object| certify(device, object, &transcript))
        })
        .await
    }

    /// The AK's word that the SRK lives in this TPM, bound to `transcript`.
    ///
    /// # Errors
    /// The TPM refused or is not provisioned.
    pub async fn certify_srk(&self, transcript: [u8; 32]) -> Result<Attested, TpmError> {
        self.run(Priority::Urgent, "Certify", move |device| {
            let object = key(device, Role::Srk)?;
            certify(device, object, &transcript)
        })
        .await
    }

    /// The AK's word on the selected PCRs, bound to `transcript`.
    ///
    /// # Errors
    /// The TPM refused or is not provisioned.
    pub async fn quote(&self, selection: &PcrSelection, transcript: [u8; 32]) -> Result<Attested, TpmError> {
        let selection = selection.clone();
        self.run(Priority::Urgent, "Quote", move |device| {
            let ak = key(device, Role::Ak)?;
            let pcrs = pcr::list(&selection)?;
            let extra = Data::try_from(&transcript[..])?;
            let proof = device.password(|context| context.quote(ak, extra, ECDSA_SHA256, pcrs))?;
            attested(proof)
        })
        .await
    }
}

/// Opens a credential; the secret crosses the bus encrypted under a session salted to the SRK.
pub(crate) fn activate(device: &mut Device, credential: &CredentialBlob) -> Result<Secret32, JobError> {
    let CredentialBlob { id_object, enc_secret } = credential;
    let id_object = IdObject::try_from(id_object.as_slice())?;
    let enc_secret = EncryptedSecret::try_from(enc_secret.as_slice())?;
    let (ek, ak) = (key(device, Role::Ek)?, key(device, Role::Ak)?);
    let encrypted = policy::encrypted_session(device)?;
    let ek_authorization = authorize_ek(device)?;
    let sessions = (Some(AuthSession::Password), Some(ek_authorization), Some(encrypted));
    let secret = device
        .with_sessions(sessions, |context| context.activate_credential(ak, ek, id_object, enc_secret))?;
    policy::secret32(secret.value())
}

/// The low-range templates demand PolicySecret(endorsement); the high-range ones also take their own empty password.
fn authorize_ek(device: &mut Device) -> Result<AuthSession, JobError> {
    if device.provisioned()?.keys.ek.public().attributes() == EK_HIGH_ATTRIBUTES {
        return Ok(AuthSession::Password);
    }
    let session = policy::start(device, SessionType::Policy, None)?;
    let policy = PolicySession::try_from(session)?;
    device.password(|context| {
        context.policy_secret(
            policy,
            AuthHandle::Endorsement,
            Nonce::default(),
            Digest::default(),
            Nonce::default(),
            None,
        )
    })?;
    Ok(session)
}

fn certify(device: &mut Device, object: KeyHandle, transcript: &[u8; 32]) -> Result<Attested, JobError> {
    let ak = key(device, Role::Ak)?;
    let extra = Data::try_from(&transcript[..])?;
    let sessions = (Some(AuthSession::Password), Some(AuthSession::Password), None);
    let proof =
        device.with_sessions(sessions, |context| context.certify(object.into(), ak, extra, ECDSA_SHA256))?;
    attested(proof)
}

fn attested((attest, signature): (Attest, Signature)) -> Result<Attested, JobError> {
    Ok(Attested { attest: attest.marshall()?, signature: signature.marshall()? })
}
