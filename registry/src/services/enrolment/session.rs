//! One challenge, from its making to the one attempt at answering it.

use std::{sync::Arc, time::Instant};

use holdfast_domain::{ChallengeId, CredentialBlob, JoinEvidence, Reason, codec, evidence::MAX_EVIDENCE};
use holdfast_keys::{Secret32, random_array};
use holdfast_proto::registry::v1::{Challenge, JoinInit, Proof};
use holdfast_tpm_verify::{
    AkPublic, EkPublic, Public, VerifyContext,
    join::{self, AttestedNode, ChallengeError},
};

use super::{
    Shared, Visit,
    evidence::{Asked, Init},
    rejections::{Claim, Rejected},
};
use crate::{core::Core, services::limits};

/// A challenge that was sent.
pub(super) struct Offer {
    init: Init,
    asked: Asked,
    secret: Secret32,
    made: Instant,
    claim: Claim,
}

/// A machine that answered its challenge and whose evidence verifies. What admits it is yet to be found.
pub(super) struct Proven {
    pub(super) init: Init,
    pub(super) attested: Arc<AttestedNode>,
    pub(super) evidence: Vec<u8>,
    pub(super) claim: Claim,
}

impl Offer {
    /// Makes a challenge that only a TPM with this EK and AK can answer.
    pub(super) async fn make(
        shared: &Shared,
        visit: Visit,
        init: JoinInit,
    ) -> Result<(Self, Challenge), Rejected> {
        let init = Init::read(init)?;
        let claim = claim(&init);
        let genesis = shared.core.cluster().genesis();
        let entropy = |error| Rejected::of(Reason::Internal, error);
        let asked = Asked {
            cluster: genesis.cluster,
            challenge: ChallengeId::new(random_array().map_err(entropy)?),
            nonce: random_array().map_err(entropy)?,
            exporter: *visit.exporter.as_bytes(),
            selection: genesis.pcr_selection.clone(),
        };
        let (ek, ak) = (init.ek_public.clone(), init.ak_public.clone());
        let made = shared.compute(move || join::make_challenge(&ek, &ak)).await?;
        let join::Challenge { secret, credential } =
            made.map_err(|error| refuse_challenge(error).about(&claim))?;
        let CredentialBlob { id_object, enc_secret } = credential;
        let challenge = Challenge {
            challenge_id: asked.challenge.as_bytes().to_vec().into(),
            nonce: asked.nonce.to_vec().into(),
            cluster_id: asked.cluster.as_bytes().to_vec().into(),
            id_object: id_object.into(),
            enc_secret: enc_secret.into(),
            pcr_selection: asked.selection.indices().to_vec().into(),
            expires_in_ms: u32::try_from(shared.challenge_life.as_millis()).unwrap_or(u32::MAX),
            server_time_ms: shared.core.now().0,
        };
        Ok((Self { init, asked, secret, made: Instant::now(), claim }, challenge))
    }

    /// Who asked for it.
    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The one attempt: the secret is gone afterwards.
    pub(super) async fn verify(self, shared: &Arc<Shared>, proof: Proof) -> Result<Proven, Rejected> {
        let Self { init, asked, secret, made, claim } = self;
        let about = |rejected: Rejected| rejected.about(&claim);
        if made.elapsed() > shared.challenge_life {
            return Err(about(Rejected::of(Reason::ChallengeUnknown, "the challenge has expired")));
        }
        let (evidence, answer) = init.answered(asked, proof).map_err(about)?;
        let claim = claim.with_boot(&evidence);
        let encoded = codec::encode(&evidence).map_err(|error| Rejected::of(Reason::Malformed, error))?;
        if encoded.len() > MAX_EVIDENCE {
            return Err(Rejected::of(Reason::Malformed, "the evidence is too long").about(&claim));
        }
        let (core, limiter) = (Arc::clone(&shared.core), Arc::clone(shared));
        let verified = shared
            .compute(move || {
                join::verify_challenge(secret, &evidence, &answer)?;
                limiter.count_proven(&evidence)?;
                verify(&core, &evidence)
            })
            .await?;
        let attested = Arc::new(verified.map_err(|rejected: Rejected| rejected.about(&claim))?);
        Ok(Proven { init, attested, evidence: encoded, claim })
    }
}

impl Shared {
    /// Runs CPU work off the async threads, a few at once.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejected> {
        let stopped = |_| Rejected::of(Reason::NotReady, "stopping");
        let turn = tokio::time::timeout(limits::VERIFICATION_PATIENCE, self.verifications.acquire()).await;
        let _turn = turn
            .map_err(|_| Rejected::of(Reason::Overloaded, "too many verifications"))?
            .map_err(|_| Rejected::of(Reason::NotReady, "stopping"))?;
        tokio::task::spawn_blocking(work).await.map_err(stopped)
    }

    /// Counts an attempt of a machine that showed that the EK is its own; whoever merely names an EK cannot lock its owner out.
    fn count_proven(&self, evidence: &JoinEvidence) -> Result<(), Rejected> {
        let Some(ek) = read_ek(&evidence.ek_public) else {
            return Err(Rejected::of(Reason::EkTemplate, "unreadable EK"));
        };
        let counted = self.by_ek.take(ek.hash(), Instant::now());
        counted.map_err(|_| Rejected::of(Reason::RateLimited, "too many joins of one EK"))
    }
}

fn verify(core: &Core, evidence: &JoinEvidence) -> Result<AttestedNode, Rejected> {
    let cluster = core.cluster();
    // The clock is the state's to check: a cleared TPM may come back when operators admit it anew.
    let context = VerifyContext::of_genesis(cluster.genesis(), cluster.ek_roots(), core.now());
    Ok(join::verify(&context, evidence)?)
}

fn refuse_challenge(error: ChallengeError) -> Rejected {
    match error {
        ChallengeError::Denied(denial) => denial.into(),
        ChallengeError::Entropy(error) => Rejected::of(Reason::Internal, error),
        other => Rejected::of(Reason::EkTemplate, other),
    }
}

fn claim(init: &Init) -> Claim {
    let ak = Public::parse(&init.ak_public).ok().and_then(|public| AkPublic::new(public).ok());
    Claim {
        ek: read_ek(&init.ek_public).map(|ek| ek.hash()),
        ak: ak.map(|ak| hex::encode(ak.name().as_bytes())),
        pcr_digest: None,
    }
}

fn read_ek(bytes: &[u8]) -> Option<EkPublic> {
    Public::parse(bytes).ok().and_then(|public| EkPublic::new(public).ok())
}
