//! Keys that others wrapped to this TPM, and keys the node seals to itself.

use holdfast_domain::WrappedBlob;
use holdfast_keys::Secret32;
use holdfast_tpm_verify::{ImportBlob, PcrPolicyProof, TpmTarget, import, wrap};
use tss_esapi::handles::ObjectHandle;
use tss_esapi::structures::{EncryptedSecret, Private, SymmetricDefinitionObject};

use crate::actor::{Device, Priority, Tpm};
use crate::attest;
use crate::blob::{SealedBlob, public_from};
use crate::error::{JobError, TpmError};
use crate::policy;
use crate::provision::{NodeKeys, Role, key};

impl Tpm {
    /// Opens a key that someone wrapped to our EK, AK and SRK, and gives it back sealed to this TPM for later starts.
    /// The wrap itself is not needed any more after that.
    ///
    /// # Errors
    /// [`TpmError::Refused`] when it was wrapped to another TPM, the machine booted in a state that is not approved,
    /// or the approval is not the operators'.
    pub async fn unwrap_key(
        &self,
        wrapped: WrappedBlob,
        proof: PcrPolicyProof,
    ) -> Result<(Secret32, SealedBlob), TpmError> {
        self.run(Priority::Urgent, "opening a wrapped key", move |device| {
            let secret = attest::activate(device, &wrapped.credential)?;
            device.flush_tracked()?;
            let NodeKeys { ek, ak, srk, .. } = &device.provisioned()?.keys;
            let target = TpmTarget { ek, ak_name: ak.name(), srk };
            let blob = wrap::open(&target, &secret, &wrapped)
                .map_err(|error| TpmError::Rejected { what: "a wrapped key", source: Box::new(error) })?;
            let sealed = import_blob(device, blob)?;
            let key = unseal(device, &sealed, &proof)?;
            Ok((key, sealed))
        })
        .await
    }

    /// Opens a key sealed to this TPM.
    ///
    /// # Errors
    /// As [`Tpm::unwrap_key`].
    pub async fn unseal(&self, sealed: SealedBlob, proof: PcrPolicyProof) -> Result<Secret32, TpmError> {
        self.run(Priority::Urgent, "unsealing a key", move |device| unseal(device, &sealed, &proof)).await
    }

    /// Seals a key to this TPM under the policy of `proof`, made here and never sent anywhere.
    ///
    /// # Errors
    /// The TPM refused or is not provisioned.
    pub async fn seal_local(&self, secret: Secret32, proof: &PcrPolicyProof) -> Result<SealedBlob, TpmError> {
        let policy = proof.sealing_policy();
        self.run(Priority::Urgent, "sealing a key", move |device| {
            let srk = &device.provisioned()?.keys.srk;
            let blob = import::seal(srk, &policy, secret.expose_for_wrapping()).map_err(|error| {
                TpmError::Rejected { what: "sealing to our own SRK", source: Box::new(error) }
            })?;
            import_blob(device, blob)
        })
        .await
    }
}

/// Turns an import blob into one under our SRK's own protection.
fn import_blob(device: &mut Device, blob: ImportBlob) -> Result<SealedBlob, JobError> {
    let ImportBlob { obj_public, duplicate, in_sym_seed } = blob;
    let public = public_from(&obj_public)?;
    let duplicate = Private::try_from(duplicate)?;
    let seed = EncryptedSecret::try_from(in_sym_seed)?;
    let srk = key(device, Role::Srk)?;
    let object = public.clone();
    let private = device.password(|context| {
        context.import(srk.into(), None, object, duplicate, seed, SymmetricDefinitionObject::Null)
    })?;
    SealedBlob::new(&public, &private)
}

fn unseal(device: &mut Device, sealed: &SealedBlob, proof: &PcrPolicyProof) -> Result<Secret32, JobError> {
    let policy_session = policy::authorized_session(device, proof)?;
    let encrypted = policy::encrypted_session(device)?;
    let srk = key(device, Role::Srk)?;
    let object = ObjectHandle::from(sealed.load(device, srk)?);
    let sessions = (Some(policy_session), Some(encrypted), None);
    let data = device.with_sessions(sessions, |context| context.unseal(object))?;
    policy::secret32(data.value())
}
