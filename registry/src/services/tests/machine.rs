//! A machine with a software TPM, and its side of the join.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use holdfast_domain::{
    Attested, ChallengeId, CredentialBlob, EkHash, JoinEvidence, NodeId, NodeRole, PcrSelection, PcrValue,
};
use holdfast_keys::Secret32;
use holdfast_proto::registry::v1::{
    Attestation, Challenge, Grant, JoinInit, JoinReply, JoinRequest, Proof, join_reply, join_request,
};
use holdfast_tpm_verify::{SoftJoin, SoftTpm, attest::ClockInfo, join};
use tokio::sync::mpsc;

use super::world::{CLUSTER, PCR, World};
use crate::services::enrolment::{EnrolmentService, Replies};

pub(crate) const EXPORTER: [u8; 32] = [9; 32];

pub(crate) struct Machine {
    pub(crate) tpm: SoftTpm,
    /// Its maker's word, where it has one.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) pcr: [u8; 32],
    clock_ms: AtomicU64,
}

/// What a machine asks for.
pub(crate) struct Ask {
    pub(crate) role: NodeRole,
    pub(crate) queue: bool,
    pub(crate) ticket: Option<Secret32>,
    pub(crate) node: Option<NodeId>,
    pub(crate) address: &'static str,
}

impl Default for Ask {
    fn default() -> Self {
        Self { role: NodeRole::Node, queue: false, ticket: None, node: None, address: "10.0.0.1:7100" }
    }
}

impl Ask {
    pub(crate) fn registry() -> Self {
        Self { role: NodeRole::Registry, ..Self::default() }
    }

    pub(crate) fn queued() -> Self {
        Self { queue: true, ..Self::default() }
    }

    pub(crate) fn with_ticket(seed: &Secret32) -> Self {
        let ticket = Some(Secret32::from_bytes(*seed.expose_for_wrapping()));
        Self { ticket, ..Self::default() }
    }
}

impl Machine {
    pub(crate) fn of_no_known_maker() -> Self {
        let tpm = SoftTpm::new().unwrap();
        Self { tpm, certificate: None, pcr: PCR, clock_ms: AtomicU64::new(1_000) }
    }

    pub(crate) fn new(world: &World) -> Self {
        let mut machine = Self::of_no_known_maker();
        machine.certificate = Some(world.maker.certify(machine.tpm.ek().spki_der()));
        machine
    }

    pub(crate) fn ek(&self) -> EkHash {
        self.tpm.ek().hash()
    }

    pub(crate) fn node(&self) -> NodeId {
        self.tpm.ek().node_id(CLUSTER)
    }

    /// Makes the TPM show an old clock again.
    pub(crate) fn turn_back_clock(&self) {
        self.clock_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn evidence(&self, role: NodeRole, id: ChallengeId, nonce: [u8; 32]) -> JoinEvidence {
        let clock_ms = self.clock_ms.fetch_add(1, Ordering::Relaxed);
        let join = SoftJoin {
            cluster: CLUSTER,
            challenge: id,
            nonce,
            exporter: EXPORTER,
            role,
            selection: PcrSelection::try_from(vec![7]).unwrap(),
            pcrs: vec![PcrValue { index: 7, digest: self.pcr }],
            clock: ClockInfo { clock_ms, reset_count: 1, restart_count: 0, safe: true },
        };
        let certificate = self.certificate.clone();
        JoinEvidence { ek_certificate: certificate, ..self.tpm.evidence(&join).unwrap() }
    }

    pub(crate) fn init(&self, ask: &Ask) -> JoinInit {
        // Signatures of requests are deterministic: these are the ones that the proof is about.
        let evidence = self.evidence(ask.role, ChallengeId::new([0; 16]), [0; 32]);
        JoinInit {
            ek_public: evidence.ek_public.into(),
            ek_certificate: evidence.ek_certificate.unwrap_or_default().into(),
            ak_public: evidence.ak_public.into(),
            srk_public: evidence.srk_public.into(),
            tls_public: evidence.tls_public.into(),
            csr: evidence.csr.into(),
            listener_csr: evidence.listener_csr.into(),
            role: ask.role.as_str().to_owned(),
            address: ask.address.to_owned(),
            node_id: ask.node.map(|id| id.as_bytes().to_vec().into()).unwrap_or_default(),
            queue: ask.queue,
            ..JoinInit::default()
        }
    }

    pub(crate) fn prove(&self, ask: &Ask, challenge: &Challenge) -> Proof {
        let id = ChallengeId::try_from(challenge.challenge_id.as_ref()).unwrap();
        let evidence = self.evidence(ask.role, id, challenge.nonce.as_ref().try_into().unwrap());
        let credential = CredentialBlob {
            id_object: challenge.id_object.to_vec(),
            enc_secret: challenge.enc_secret.to_vec(),
        };
        let transcript = join::transcript_of(&evidence).unwrap();
        let ticket = ask.ticket.as_ref().map(|seed| join::sign_ticket(seed, &transcript));
        Proof {
            challenge_id: challenge.challenge_id.clone(),
            credential_proof: self.tpm.answer(&credential, &evidence).unwrap().to_vec().into(),
            ticket_public: ticket.as_ref().map(|t| t.ticket.as_bytes().to_vec().into()).unwrap_or_default(),
            ticket_signature: ticket.map(|t| t.signature.0.to_vec().into()).unwrap_or_default(),
            certify_tls: Some(attestation(evidence.certify_tls)),
            certify_srk: Some(attestation(evidence.certify_srk)),
            quote: Some(attestation(evidence.quote)),
            pcr_values: evidence.pcrs.iter().map(|value| Bytes::from(value.digest.to_vec())).collect(),
            event_log: Bytes::new(),
        }
    }

    /// A whole join.
    pub(crate) async fn join(&self, world: &World, ask: &Ask) -> join_reply::Message {
        self.answer(Talk::join(world), ask, |_| {}).await
    }

    /// A whole join that must succeed.
    pub(crate) async fn granted(&self, world: &World, ask: &Ask) -> Grant {
        match self.join(world, ask).await {
            join_reply::Message::Grant(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    /// A whole renewal over the identity of `caller`.
    pub(crate) async fn renew(&self, world: &World, caller: NodeId, ask: &Ask) -> join_reply::Message {
        self.answer(Talk::renew(world, (ask.role, caller)), ask, |_| {}).await
    }

    /// The exchange, with a proof that was tampered with.
    pub(crate) async fn answer(
        &self,
        mut talk: Talk,
        ask: &Ask,
        spoil: impl FnOnce(&mut Proof),
    ) -> join_reply::Message {
        match talk.begin(self.init(ask)).await {
            join_reply::Message::Challenge(challenge) => {
                let mut proof = self.prove(ask, &challenge);
                spoil(&mut proof);
                talk.prove(proof).await
            }
            last => last,
        }
    }
}

fn attestation(Attested { attest, signature }: Attested) -> Attestation {
    Attestation { attest: attest.into(), signature: signature.into() }
}

/// One stream.
pub(crate) struct Talk {
    requests: mpsc::Sender<JoinRequest>,
    replies: Replies,
}

impl Talk {
    pub(crate) fn join(world: &World) -> Self {
        Self::with(&world.enrolment, EXPORTER)
    }

    /// To a voter whose end of the connection has this exporter.
    pub(crate) fn with(enrolment: &EnrolmentService, exporter: [u8; 32]) -> Self {
        let (requests, receiver) = mpsc::channel(2);
        Self { requests, replies: enrolment.join_from(exporter, receiver) }
    }

    pub(crate) fn renew(world: &World, caller: (NodeRole, NodeId)) -> Self {
        let (requests, receiver) = mpsc::channel(2);
        Self { requests, replies: world.enrolment.renew_from(EXPORTER, caller, receiver) }
    }

    pub(crate) async fn begin(&mut self, init: JoinInit) -> join_reply::Message {
        self.say(join_request::Message::Init(init)).await
    }

    pub(crate) async fn prove(&mut self, proof: Proof) -> join_reply::Message {
        self.say(join_request::Message::Proof(proof)).await
    }

    /// What comes without saying anything.
    pub(crate) async fn hear(&mut self) -> join_reply::Message {
        let Some(Ok(JoinReply { message: Some(message) })) = self.replies.next().await else {
            panic!("no reply");
        };
        message
    }

    /// Whether the voter has ended the stream.
    pub(crate) async fn is_over(&mut self) -> bool {
        self.replies.next().await.is_none()
    }

    async fn say(&mut self, message: join_request::Message) -> join_reply::Message {
        self.requests.send(JoinRequest { message: Some(message) }).await.unwrap();
        self.hear().await
    }
}
