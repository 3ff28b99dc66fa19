//! A join like `holdfast_enrol::attested`'s, with every message open to change on its way out.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use holdfast_certs::{Dialed, Dialer, ExpectedServer, csr};
use holdfast_domain::{Attested, ChallengeId, CredentialBlob, NodeId, NodeRole, PcrSelection, RootHash};
use holdfast_enrol::machine::Machine;
use holdfast_keys::{Secret32, SoftSigner};
use holdfast_proto::registry::v1::{
    Attestation, Challenge, JoinInit, JoinReply, JoinRequest, Proof, enrolment_client::EnrolmentClient,
    join_reply, join_request,
};
use holdfast_tpm_verify::{
    Transcript, TranscriptParts,
    join::{challenge_proof, sign_ticket},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::reason;

/// One attempt to join.
pub struct Attempt<'a> {
    /// Whose TPM does the honest part.
    pub machine: &'a Machine,
    /// The role that is asked for.
    pub role: NodeRole,
    /// A ticket to show.
    pub ticket: Option<&'a Secret32>,
    /// Changes the first message.
    pub change_init: &'a (dyn Fn(&mut JoinInit) + Sync),
    /// Changes the second message.
    pub change_proof: &'a (dyn Fn(&mut Proof) + Sync),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted, under this id.
    Granted(NodeId),
    /// In the approval queue.
    Pending,
    /// Refused with this reason code.
    Denied(String),
}

impl Verdict {
    /// That it was refused with one of these reasons.
    ///
    /// # Errors
    /// It was not, or otherwise.
    pub fn expect_denied(&self, reasons: &[&str]) -> anyhow::Result<()> {
        match self {
            Self::Denied(reason) if reasons.contains(&reason.as_str()) => Ok(()),
            other => bail!("expected a denial with {reasons:?}, and got {other:?}"),
        }
    }
}

impl<'a> Attempt<'a> {
    /// An attempt that changes nothing.
    pub fn honest(machine: &'a Machine, role: NodeRole) -> Self {
        Self { machine, role, ticket: None, change_init: &|_| {}, change_proof: &|_| {} }
    }
}

/// Makes the attempt at one voter. Also returns the proof that was sent, for a replay.
///
/// # Errors
/// The protocol broke off without a verdict.
pub async fn attempt(
    address: &str,
    root: RootHash,
    attempt: &Attempt<'_>,
) -> anyhow::Result<(Verdict, Option<Proof>)> {
    let dialed = Dialer::new(root, None).connect(address, &ExpectedServer::AnyRegistry).await;
    let Dialed { channel, exporter, server: _, root } = dialed.context("dialing a voter")?;
    let (sender, receiver) = mpsc::channel(2);
    let csrs = Requests::make(attempt.machine)?;
    let mut init = csrs.init(attempt);
    (attempt.change_init)(&mut init);
    let send = |message| JoinRequest { message: Some(message) };
    sender.send(send(join_request::Message::Init(init))).await?;
    let opened = EnrolmentClient::new(channel).join(ReceiverStream::new(receiver)).await;
    let mut replies = match opened {
        Ok(replies) => replies.into_inner(),
        Err(status) => return Ok((Verdict::Denied(reason(&status)), None)),
    };
    let challenge = match next(&mut replies).await? {
        Ok(challenge) => challenge,
        Err(verdict) => return Ok((verdict, None)),
    };
    let mut proof = csrs.prove(attempt, challenge, exporter.as_bytes(), root.cluster()).await?;
    (attempt.change_proof)(&mut proof);
    sender.send(send(join_request::Message::Proof(proof.clone()))).await?;
    match next(&mut replies).await? {
        Ok(_) => bail!("a second challenge"),
        Err(verdict) => Ok((verdict, Some(proof))),
    }
}

/// The next message: a challenge, or else the verdict.
async fn next(replies: &mut Streaming<JoinReply>) -> anyhow::Result<Result<Challenge, Verdict>> {
    let message = match replies.message().await {
        Ok(message) => message.and_then(|reply| reply.message).context("the stream ended early")?,
        Err(status) => return Ok(Err(Verdict::Denied(reason(&status)))),
    };
    Ok(match message {
        join_reply::Message::Challenge(challenge) => Ok(challenge),
        join_reply::Message::Grant(grant) => Err(Verdict::Granted(NodeId::try_from(grant.node_id.as_ref())?)),
        join_reply::Message::Pending(_) => Err(Verdict::Pending),
        join_reply::Message::Denied(denied) => Err(Verdict::Denied(denied.reason)),
    })
}

struct Requests {
    csr: Vec<u8>,
    listener_csr: Vec<u8>,
}

impl Requests {
    fn make(machine: &Machine) -> anyhow::Result<Self> {
        let signer = machine.signer();
        let csr = std::thread::spawn(move || csr::create(&signer)).join();
        let csr = csr.map_err(|_| anyhow::anyhow!("signing a request"))??;
        Ok(Self { csr, listener_csr: csr::create(&SoftSigner::generate()?)? })
    }

    fn init(&self, attempt: &Attempt<'_>) -> JoinInit {
        let keys = attempt.machine.keys();
        let copy = |public: &holdfast_tpm_verify::Public| Bytes::copy_from_slice(public.as_bytes());
        JoinInit {
            ek_public: copy(keys.ek.public()),
            ek_certificate: keys.ek_certificate.clone().unwrap_or_default().into(),
            ek_chain: keys.ek_chain.iter().cloned().map(Bytes::from).collect(),
            ak_public: copy(keys.ak.public()),
            srk_public: copy(keys.srk.public()),
            tls_public: copy(keys.tls.public()),
            csr: self.csr.clone().into(),
            listener_csr: self.listener_csr.clone().into(),
            role: attempt.role.as_str().to_owned(),
            address: "127.0.0.1:9".to_owned(),
            ..JoinInit::default()
        }
    }

    async fn prove(
        &self,
        attempt: &Attempt<'_>,
        challenge: Challenge,
        exporter: &[u8; 32],
        cluster: holdfast_domain::ClusterId,
    ) -> anyhow::Result<Proof> {
        let Challenge { challenge_id, nonce, id_object, enc_secret, pcr_selection, .. } = challenge;
        let nonce: [u8; 32] = nonce.as_ref().try_into().context("nonce")?;
        let selection = PcrSelection::try_from(pcr_selection.to_vec())?;
        let (tpm, keys) = (attempt.machine.tpm(), attempt.machine.keys());
        let transcript = Transcript::new(&TranscriptParts {
            cluster,
            challenge: ChallengeId::try_from(challenge_id.as_ref())?,
            nonce: &nonce,
            exporter,
            ek: keys.ek.name(),
            ak: keys.ak.name(),
            srk: keys.srk.name(),
            tls: keys.tls.name(),
            csr: &self.csr,
            listener_csr: &self.listener_csr,
            role: attempt.role,
        });
        let credential = CredentialBlob { id_object: id_object.to_vec(), enc_secret: enc_secret.to_vec() };
        let secret = tpm.activate(credential).await?;
        let ticket = attempt.ticket.map(|ticket| sign_ticket(ticket, &transcript));
        let pcrs = tpm.pcr_values(&selection).await?;
        let bound = *transcript.as_bytes();
        Ok(Proof {
            challenge_id,
            credential_proof: challenge_proof(&secret, &transcript).to_vec().into(),
            ticket_public: ticket.as_ref().map(|t| t.ticket.as_bytes().to_vec().into()).unwrap_or_default(),
            ticket_signature: ticket.map(|t| t.signature.0.to_vec().into()).unwrap_or_default(),
            certify_tls: Some(attestation(tpm.certify_tls(bound).await?)),
            certify_srk: Some(attestation(tpm.certify_srk(bound).await?)),
            quote: Some(attestation(tpm.quote(&selection, bound).await?)),
            pcr_values: pcrs.iter().map(|value| Bytes::copy_from_slice(&value.digest)).collect(),
            event_log: Bytes::new(),
        })
    }
}

fn attestation(Attested { attest, signature }: Attested) -> Attestation {
    Attestation { attest: attest.into(), signature: signature.into() }
}
