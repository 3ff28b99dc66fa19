//! The founder proves its machine to itself, with the same messages and checks as every later join.

use holdfast_certs::csr;
use holdfast_domain::{ChallengeId, Genesis, JoinEvidence, NodeRole};
use holdfast_enrol::machine::Machine;
use holdfast_keys::{SoftSigner, random_array};
use holdfast_tpm_verify::{
    Denial,
    ek_certificate::EkRoots,
    join::{
        AttestedNode, VerifyContext, challenge_proof, make_challenge, transcript_of, verify, verify_challenge,
    },
};

use super::InitError;

const STEP: &str = "this machine's own proof";

/// Evidence, and what verifying it established.
pub(super) async fn of(
    machine: &Machine,
    listener: &SoftSigner,
    genesis: &Genesis,
) -> Result<(JoinEvidence, AttestedNode), InitError> {
    let (tpm, keys) = (machine.tpm(), machine.keys());
    let signer = machine.signer();
    let request = tokio::task::spawn_blocking(move || csr::create(&signer)).await;
    let request = request.map_err(InitError::at(STEP))?.map_err(InitError::at(STEP))?;
    let nothing = || holdfast_domain::Attested { attest: Vec::new(), signature: Vec::new() };
    let mut evidence = JoinEvidence {
        cluster: genesis.cluster,
        challenge: ChallengeId::new(random_array().map_err(InitError::at(STEP))?),
        nonce: random_array().map_err(InitError::at(STEP))?,
        // There is no connection yet that it could be bound to.
        exporter: [0; 32],
        role: NodeRole::Registry,
        ek_public: keys.ek.public().as_bytes().to_vec(),
        ek_certificate: keys.ek_certificate.clone(),
        ek_chain: keys.ek_chain.clone(),
        ak_public: keys.ak.public().as_bytes().to_vec(),
        srk_public: keys.srk.public().as_bytes().to_vec(),
        tls_public: keys.tls.public().as_bytes().to_vec(),
        csr: request,
        listener_csr: csr::create(listener).map_err(InitError::at(STEP))?,
        selection: genesis.pcr_selection.clone(),
        pcrs: tpm.pcr_values(&genesis.pcr_selection).await.map_err(InitError::at(STEP))?,
        certify_tls: nothing(),
        certify_srk: nothing(),
        quote: nothing(),
        event_log: None,
        ticket: None,
    };
    let transcript = transcript_of(&evidence).map_err(denied)?;
    let bound = *transcript.as_bytes();
    evidence.certify_tls = tpm.certify_tls(bound).await.map_err(InitError::at(STEP))?;
    evidence.certify_srk = tpm.certify_srk(bound).await.map_err(InitError::at(STEP))?;
    evidence.quote = tpm.quote(&genesis.pcr_selection, bound).await.map_err(InitError::at(STEP))?;

    let challenge = make_challenge(&evidence.ek_public, &evidence.ak_public).map_err(InitError::at(STEP))?;
    let activated = tpm.activate(challenge.credential).await.map_err(InitError::at(STEP))?;
    let proof = challenge_proof(&activated, &transcript);
    verify_challenge(challenge.secret, &evidence, &proof).map_err(denied)?;
    let roots = EkRoots::new(&genesis.ek_roots).map_err(InitError::at(STEP))?;
    let context = VerifyContext::of_genesis(genesis, &roots, genesis.created);
    let attested = verify(&context, &evidence).map_err(denied)?;
    Ok((evidence, attested))
}

fn denied(denial: Denial) -> InitError {
    let Denial { reason, detail } = denial;
    InitError::at(STEP)(format!("{}: {} ({detail})", reason.code(), reason.text()))
}
