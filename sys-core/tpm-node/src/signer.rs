//! The TLS key of the TPM as a signer: its private half never leaves the device.

use holdfast_domain::Signature64;
use holdfast_keys::P256Public;
use holdfast_keys::sign::{SignError, Signer};
use sha2::{Digest as _, Sha256};
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{Digest, HashcheckTicket, Signature};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

use crate::actor::{Device, Priority, Tpm};
use crate::attest::ECDSA_SHA256;
use crate::error::JobError;
use crate::provision::NodeKeys;
use crate::tls_key;

/// Signs with the node's TLS key, in the TPM. Blocks the calling thread for the time of one TPM command and of those
/// queued before it.
pub struct TpmSigner {
    tpm: Tpm,
    public: P256Public,
}

impl TpmSigner {
    /// Signer for the TLS key of a provisioned TPM.
    #[must_use]
    pub fn new(tpm: Tpm, keys: &NodeKeys) -> Self {
        Self { tpm, public: *keys.tls.key() }
    }
}

impl Signer for TpmSigner {
    fn public(&self) -> P256Public {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Signature64, SignError> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        self.tpm
            .run_blocking(Priority::Normal, "Sign", move |device| {
                tls_key::with_loaded(device, |device, key| sign(device, key, &digest))
            })
            .map_err(|error| SignError::Key(Box::new(error)))
    }
}

fn sign(device: &mut Device, key: KeyHandle, digest: &[u8; 32]) -> Result<Signature64, JobError> {
    let digest = Digest::try_from(&digest[..])?;
    // The key is not restricted, so it signs digests made outside: the ticket is the null ticket.
    let ticket =
        TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
    let ticket = HashcheckTicket::try_from(ticket)?;
    let signature = device.password(|context| context.sign(key, digest, ECDSA_SHA256, ticket))?;
    let Signature::EcDsa(signature) = signature else {
        return Err(JobError::malformed("signature"));
    };
    let mut bytes = [0; 64];
    let (r, s) = bytes.split_at_mut(32);
    pad_left(signature.signature_r().value(), r)?;
    pad_left(signature.signature_s().value(), s)?;
    Ok(Signature64(bytes))
}

/// TPMs leave leading zeros out.
fn pad_left(value: &[u8], field: &mut [u8]) -> Result<(), JobError> {
    let start = field.len().checked_sub(value.len()).ok_or(JobError::malformed("signature"))?;
    field.iter_mut().skip(start).zip(value).for_each(|(to, from)| *to = *from);
    Ok(())
}
