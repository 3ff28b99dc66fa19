//! A TPM's half of a join in software, for tests and benchmarks of whoever needs evidence without a TPM. It proves nothing, and
//! nothing takes it for more than it is: its EK has no certificate, so it joins virtual clusters only. It knows no policies:
//! whoever holds it opens what was wrapped to it.

mod areas;
pub mod cost;
pub(crate) mod csr;
mod storage;

use holdfast_domain::{
    Attested, ChallengeId, ClusterId, CredentialBlob, JoinEvidence, NodeRole, PcrSelection, PcrValue,
    WrappedBlob,
};
use holdfast_keys::{P256Public, Secret32, Signer, SoftSigner};

use crate::attest::{Attest, Body, ClockInfo};
use crate::name::Name;
use crate::parent::SeedUse;
use crate::public::Public;
use crate::roles::{AkPublic, EkPublic, SrkPublic, TlsPublic};
use crate::transcript::{Transcript, TranscriptParts};
use crate::wire::Malformed;
use crate::{join, pcr, signature, wrap};

/// Something a software TPM cannot do; only tests see it.
#[derive(Debug, thiserror::Error)]
#[error("software TPM: {0}")]
pub struct SoftError(String);

/// A machine with EK, AK, SRK, TLS and listener key in memory.
pub struct SoftTpm {
    ek_private: p256::SecretKey,
    srk_private: p256::SecretKey,
    ak_signer: SoftSigner,
    tls_signer: SoftSigner,
    listener_signer: SoftSigner,
    pub(crate) ek: EkPublic,
    pub(crate) ak: AkPublic,
    pub(crate) srk: SrkPublic,
    pub(crate) tls: TlsPublic,
}

/// What a join is made for: the registry's challenge and the machine's boot state.
#[derive(Clone, Debug)]
pub struct SoftJoin {
    /// The cluster.
    pub cluster: ClusterId,
    /// The challenge.
    pub challenge: ChallengeId,
    /// Its nonce.
    pub nonce: [u8; 32],
    /// TLS exporter of the connection.
    pub exporter: [u8; 32],
    /// The role.
    pub role: NodeRole,
    /// The PCRs that are asked for.
    pub selection: PcrSelection,
    /// Their values.
    pub pcrs: Vec<PcrValue>,
    /// The clock that the TPM shows.
    pub clock: ClockInfo,
}

impl SoftTpm {
    /// A new machine.
    ///
    /// # Errors
    /// No randomness.
    pub fn new() -> Result<Self, SoftError> {
        let (ek_private, srk_private) = (storage::private_key()?, storage::private_key()?);
        let signer = || SoftSigner::generate().map_err(soft);
        let (ak_signer, tls_signer, listener_signer) = (signer()?, signer()?, signer()?);
        let ek = EkPublic::new(areas::ek(&ek_private)?).map_err(soft)?;
        let ak = AkPublic::new(areas::ak(&ak_signer.public())?).map_err(soft)?;
        let srk = SrkPublic::new(areas::srk(&srk_private)?).map_err(soft)?;
        let tls = TlsPublic::new(areas::tls(&tls_signer.public())?).map_err(soft)?;
        Ok(Self { ek_private, srk_private, ak_signer, tls_signer, listener_signer, ek, ak, srk, tls })
    }

    /// The endorsement key.
    #[must_use]
    pub fn ek(&self) -> &EkPublic {
        &self.ek
    }

    /// The attestation key.
    #[must_use]
    pub fn ak(&self) -> &AkPublic {
        &self.ak
    }

    /// The key that authenticates the machine to the registry.
    #[must_use]
    pub fn tls_signer(&self) -> &SoftSigner {
        &self.tls_signer
    }

    /// The listener's key.
    #[must_use]
    pub fn listener(&self) -> P256Public {
        self.listener_signer.public()
    }

    /// Evidence that passes the checklist of a cluster that admits virtual TPMs.
    ///
    /// # Errors
    /// PCR values that are not the selection's.
    pub fn evidence(&self, join: &SoftJoin) -> Result<JoinEvidence, SoftError> {
        let csr = csr::create(&self.tls_signer)?;
        let listener_csr = csr::create(&self.listener_signer)?;
        let transcript = self.transcript(join, &csr, &listener_csr);
        Ok(JoinEvidence {
            cluster: join.cluster,
            challenge: join.challenge,
            nonce: join.nonce,
            exporter: join.exporter,
            role: join.role,
            ek_public: self.ek.public().as_bytes().to_vec(),
            ek_certificate: None,
            ek_chain: Vec::new(),
            ak_public: self.ak.public().as_bytes().to_vec(),
            srk_public: self.srk.public().as_bytes().to_vec(),
            tls_public: self.tls.public().as_bytes().to_vec(),
            csr,
            listener_csr,
            selection: join.selection.clone(),
            pcrs: join.pcrs.clone(),
            certify_tls: self.sign(&self.certify_tls(join, &transcript))?,
            certify_srk: self.sign(&self.certify_srk(join, &transcript))?,
            quote: self.sign(&self.quote(join, &transcript)?)?,
            event_log: None,
            ticket: None,
        })
    }

    /// The answer to a challenge, for evidence of this machine.
    ///
    /// # Errors
    /// The credential is for another machine.
    pub fn answer(
        &self,
        credential: &CredentialBlob,
        evidence: &JoinEvidence,
    ) -> Result<[u8; 32], SoftError> {
        let transcript = join::transcript_of(evidence).map_err(soft)?;
        Ok(join::challenge_proof(&self.activate(credential)?, &transcript))
    }

    /// `TPM2_ActivateCredential`.
    ///
    /// # Errors
    /// The credential is for another EK or AK.
    pub fn activate(&self, credential: &CredentialBlob) -> Result<Secret32, SoftError> {
        let seed = storage::recover(&self.ek_private, SeedUse::Identity, &credential.enc_secret)?;
        let payload = storage::unprotect(&seed, self.ak.name(), &credential.id_object)?;
        let secret = storage::only_sized(&payload)?;
        Secret32::from_slice(secret).map_err(soft)
    }

    /// Activates, imports and unseals a wrapped key.
    ///
    /// # Errors
    /// The blob is for another machine.
    pub fn unwrap(&self, wrapped: &WrappedBlob) -> Result<Secret32, SoftError> {
        let target = wrap::TpmTarget { ek: &self.ek, ak_name: self.ak.name(), srk: &self.srk };
        let secret = self.activate(&wrapped.credential)?;
        let blob = wrap::open(&target, &secret, wrapped).map_err(soft)?;
        let seed = storage::recover(&self.srk_private, SeedUse::Duplicate, &blob.in_sym_seed)?;
        let object = Public::parse(&blob.obj_public).map_err(soft)?;
        let sensitive = storage::unprotect(&seed, &object.name(), &blob.duplicate)?;
        storage::sealed_key(&object, &sensitive)
    }

    pub(crate) fn transcript(&self, join: &SoftJoin, csr: &[u8], listener_csr: &[u8]) -> Transcript {
        Transcript::new(&TranscriptParts {
            cluster: join.cluster,
            challenge: join.challenge,
            nonce: &join.nonce,
            exporter: &join.exporter,
            ek: self.ek.name(),
            ak: self.ak.name(),
            srk: self.srk.name(),
            tls: self.tls.name(),
            csr,
            listener_csr,
            role: join.role,
        })
    }

    pub(crate) fn certify_tls(&self, join: &SoftJoin, transcript: &Transcript) -> Attest {
        let name = self.tls.name().clone();
        let qualified_name = name.qualified_under_key(&self.srk.name().qualified_in_owner());
        self.attest(join, transcript, Body::Certify { name, qualified_name })
    }

    pub(crate) fn certify_srk(&self, join: &SoftJoin, transcript: &Transcript) -> Attest {
        let name = self.srk.name().clone();
        let qualified_name = name.qualified_in_owner();
        self.attest(join, transcript, Body::Certify { name, qualified_name })
    }

    pub(crate) fn quote(&self, join: &SoftJoin, transcript: &Transcript) -> Result<Attest, SoftError> {
        let digest = pcr::digest(&join.selection, &join.pcrs).map_err(soft)?;
        Ok(self.attest(join, transcript, Body::Quote { selection: join.selection.clone(), digest }))
    }

    pub(crate) fn sign(&self, attest: &Attest) -> Result<Attested, SoftError> {
        let attest = attest.to_bytes().map_err(soft)?;
        let signature = self.ak_signer.sign(&attest).map_err(soft)?;
        Ok(Attested { attest, signature: signature::to_tpm(&signature) })
    }

    fn attest(&self, join: &SoftJoin, transcript: &Transcript, body: Body) -> Attest {
        Attest {
            qualified_signer: self.qualified_ak(),
            extra_data: transcript.as_bytes().to_vec(),
            clock: join.clock,
            firmware_version: 1,
            body,
        }
    }

    fn qualified_ak(&self) -> Name {
        self.ak.name().qualified_under_key(&self.ek.name().qualified_in_endorsement())
    }
}

impl From<Malformed> for SoftError {
    fn from(fault: Malformed) -> Self {
        soft(fault)
    }
}

fn soft(fault: impl std::fmt::Display) -> SoftError {
    SoftError(fault.to_string())
}
