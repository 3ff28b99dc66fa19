//! The whole attestation, verified by the code that registry and replicas run.

use std::sync::Arc;
use std::time::SystemTime;

use holdfast_domain::{ChallengeId, JoinEvidence, NodeRole, PcrValue, Reason, TpmClass, TpmPolicy, UnixMs};
use holdfast_keys::sign::Signer;
use holdfast_keys::{Secret32, SoftSigner};
use holdfast_tpm_node::{EkKind, TpmError, TpmSigner};
use holdfast_tpm_verify::join::{
    UnmeasuredPcrs, VerifyContext, challenge_proof, make_challenge, sign_ticket, transcript_of, verify,
    verify_challenge,
};
use holdfast_tpm_verify::{EkRoots, credential};

use super::support::{Machine, authority, cluster, selection};

/// An rcgen key over any of our signers.
struct RequestKey<'a>(&'a dyn Signer, Vec<u8>);

impl rcgen::PublicKeyData for RequestKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for RequestKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        let (r, s) = signature.0.split_at(32);
        let body = [integer(r), integer(s)].concat();
        Ok([&[0x30, u8::try_from(body.len()).unwrap()][..], &body].concat())
    }
}

/// DER INTEGER of an unsigned number.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap();
    let mut content = bytes[start..].to_vec();
    if content[0] & 0x80 != 0 {
        content.insert(0, 0);
    }
    [&[2, u8::try_from(content.len()).unwrap()][..], &content].concat()
}

fn request(signer: &dyn Signer) -> Vec<u8> {
    let key = RequestKey(signer, signer.public().as_bytes().to_vec());
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

/// What a join sends, with the challenge answered.
struct Joined {
    evidence: JoinEvidence,
    secret: Secret32,
    proof: [u8; 32],
}

async fn join(machine: &Machine, pcrs: Vec<PcrValue>) -> Joined {
    let keys = &machine.keys;
    let signer = Arc::new(TpmSigner::new(machine.tpm.clone(), keys));
    let csr = tokio::task::spawn_blocking(move || request(signer.as_ref())).await.unwrap();
    let empty = || holdfast_domain::Attested { attest: Vec::new(), signature: Vec::new() };
    let mut evidence = JoinEvidence {
        cluster: cluster(),
        challenge: ChallengeId::new([1; 16]),
        nonce: [2; 32],
        exporter: [3; 32],
        role: NodeRole::Node,
        ek_public: keys.ek.public().as_bytes().to_vec(),
        ek_certificate: keys.ek_certificate.clone(),
        ek_chain: keys.ek_chain.clone(),
        ak_public: keys.ak.public().as_bytes().to_vec(),
        srk_public: keys.srk.public().as_bytes().to_vec(),
        tls_public: keys.tls.public().as_bytes().to_vec(),
        csr,
        listener_csr: request(&SoftSigner::generate().unwrap()),
        selection: selection(),
        pcrs,
        certify_tls: empty(),
        certify_srk: empty(),
        quote: empty(),
        event_log: None,
        ticket: None,
    };
    let challenge = make_challenge(&evidence.ek_public, &evidence.ak_public).unwrap();
    let transcript = transcript_of(&evidence).unwrap();
    let answer = machine.tpm.activate(challenge.credential).await.unwrap();
    evidence.certify_tls = machine.tpm.certify_tls(*transcript.as_bytes()).await.unwrap();
    evidence.certify_srk = machine.tpm.certify_srk(*transcript.as_bytes()).await.unwrap();
    evidence.quote = machine.tpm.quote(&selection(), *transcript.as_bytes()).await.unwrap();
    evidence.ticket = Some(sign_ticket(&Secret32::from_bytes([4; 32]), &transcript));
    Joined { evidence, proof: challenge_proof(&answer, &transcript), secret: challenge.secret }
}

/// Verifies as a cluster that trusts these tests' EK authority.
fn judge(
    evidence: &JoinEvidence,
    tpm_policy: TpmPolicy,
) -> Result<holdfast_tpm_verify::AttestedNode, holdfast_tpm_verify::Denial> {
    let roots = EkRoots::new(&[authority().root_der().unwrap()]).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let context = VerifyContext {
        cluster: cluster(),
        tpm_policy,
        ek_roots: &roots,
        selection: &selection(),
        unmeasured: UnmeasuredPcrs::Refuse,
        last_clock: None,
        now: UnixMs(u64::try_from(now).unwrap()),
    };
    verify(&context, evidence)
}

fn reason<T>(outcome: Result<T, holdfast_tpm_verify::Denial>) -> Option<Reason> {
    outcome.err().map(|denial| denial.reason)
}

#[tokio::test]
async fn a_genuine_join_passes_the_whole_checklist_with_every_kind_of_certified_ek() {
    for ek in [EkKind::Rsa2048, EkKind::EccP384] {
        let machine = Machine::with_ek(Some(ek)).await;
        machine.boot().await;
        let Joined { evidence, secret, proof } = join(&machine, machine.pcrs().await).await;
        let node = judge(&evidence, TpmPolicy::AdmitsVirtual).unwrap();
        assert_eq!(node.node_id(), machine.keys.ek.node_id(cluster()));
        assert_eq!(node.class(), TpmClass::Virtual);
        assert!(node.anchor().is_some(), "the chain leads to the authority of these tests");
        assert_eq!(node.tls(), &machine.keys.tls);
        assert!(node.ticket().is_some());
        verify_challenge(secret, &evidence, &proof).unwrap();
        // The same chain to a configured root is all that a hardware cluster asks for.
        assert!(judge(&evidence, TpmPolicy::HardwareOnly).is_ok());
    }
}

#[tokio::test]
async fn what_was_made_for_another_moment_or_machine_is_refused() {
    let (machine, other) = (Machine::new().await, Machine::new().await);
    machine.boot().await;
    other.boot().await;
    let mine = join(&machine, machine.pcrs().await).await;
    let theirs = join(&other, other.pcrs().await).await;
    let judged = |change: &dyn Fn(&mut JoinEvidence)| {
        let mut evidence = mine.evidence.clone();
        change(&mut evidence);
        reason(judge(&evidence, TpmPolicy::AdmitsVirtual))
    };
    assert_eq!(judged(&|_| ()), None);
    assert_eq!(judged(&|evidence| evidence.nonce = [9; 32]), Some(Reason::AttestationFreshness));
    assert_eq!(judged(&|evidence| evidence.exporter = [9; 32]), Some(Reason::AttestationFreshness));
    assert_eq!(judged(&|evidence| evidence.role = NodeRole::Registry), Some(Reason::AttestationFreshness));
    assert_eq!(judged(&|evidence| evidence.pcrs[0].digest[0] ^= 1), Some(Reason::PcrDigest));
    let theirs = theirs.evidence;
    assert_eq!(judged(&|evidence| evidence.quote = theirs.quote.clone()), Some(Reason::AttestationSignature));
    assert_eq!(judged(&|evidence| evidence.certify_tls = evidence.certify_srk.clone()), Some(Reason::TlsKey));
    assert_eq!(
        judged(&|evidence| evidence.ek_certificate = theirs.ek_certificate.clone()),
        Some(Reason::EkCertificateKey)
    );
    assert_eq!(judged(&|evidence| evidence.csr = theirs.csr.clone()), Some(Reason::CertificateRequest));
    // The proof of one challenge is no proof of another.
    assert!(verify_challenge(Secret32::generate().unwrap(), &mine.evidence, &mine.proof).is_err());
}

#[tokio::test]
async fn a_machine_that_measured_nothing_is_refused_where_that_matters() {
    let machine = Machine::new().await;
    let joined = join(&machine, machine.pcrs().await).await;
    let outcome = judge(&joined.evidence, TpmPolicy::AdmitsVirtual);
    assert_eq!(reason(outcome), Some(Reason::PcrUnmeasured));
}

#[tokio::test]
async fn activation_refuses_credentials_for_another_ak_or_ek() {
    for ek in [EkKind::Rsa2048, EkKind::EccP384] {
        let (machine, other) = (Machine::with_ek(Some(ek)).await, Machine::with_ek(Some(ek)).await);
        let mine = &machine.keys;
        let secret = [8; 32];
        for (ek, name) in
            [(&mine.ek, other.keys.ak.name()), (&other.keys.ek, mine.ak.name()), (&mine.ek, mine.tls.name())]
        {
            let credential = credential::make(ek, name, &secret).unwrap();
            let outcome = machine.tpm.activate(credential.into()).await;
            assert!(matches!(outcome, Err(TpmError::Refused { operation: "ActivateCredential", .. })));
        }
        let credential = credential::make(&mine.ek, mine.ak.name(), &secret).unwrap();
        assert!(machine.tpm.activate(credential.into()).await.is_ok(), "and the TPM still works");
    }
}
