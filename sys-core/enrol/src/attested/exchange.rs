//! One run of the protocol: JoinInit → Challenge → Proof → Grant, Pending or Denied.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_certs::{DialError, Dialed, Dialer, ExpectedServer, Exporter, csr};
use holdfast_domain::{Attested, ChallengeId, ClusterId, CredentialBlob, PcrSelection, PendingId, Reason};
use holdfast_proto::registry::v1::{
    Attestation, Challenge, JoinInit, JoinReply, JoinRequest as Message, Proof,
    enrolment_client::EnrolmentClient, join_reply, join_request,
};
use holdfast_tpm_verify::{
    Transcript, TranscriptParts,
    join::{challenge_proof, sign_ticket},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Granted, JoinError, JoinRequest, Joined, MAX_CLOCK_DIFFERENCE_MS};

/// How long one member may take for a whole join: what a challenge lives (tpm-join, 2), and the round trips around it. Without it a
/// member that stopped answering would keep the machine from trying another until its leaf is over.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(75);

/// Which method: the messages are the same.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Join,
    Renew,
}

/// Tries one member after the other.
pub(super) async fn first_answer(
    registries: &[String],
    dialer: &Dialer,
    kind: Kind,
    request: &JoinRequest<'_>,
) -> Result<Joined, JoinError> {
    let mut last = JoinError::NoAddress;
    for address in registries {
        let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, at(address, dialer, kind, request)).await;
        match answer.unwrap_or_else(|_| Err(no_answer(address))) {
            Err(error) if error.is_elsewhere() => last = error,
            answer => return answer,
        }
    }
    Err(last)
}

fn no_answer(address: &str) -> JoinError {
    let status = Box::new(Status::deadline_exceeded("no answer in time"));
    JoinError::Stream { address: address.to_owned(), status }
}

async fn at(
    address: &str,
    dialer: &Dialer,
    kind: Kind,
    request: &JoinRequest<'_>,
) -> Result<Joined, JoinError> {
    let dialed = dialer.connect(address, &ExpectedServer::AnyRegistry).await;
    let Dialed { channel, exporter, server: _, root } = dialed.map_err(|error| not_dialed(address, error))?;
    let broke = |status: Status| JoinError::Stream { address: address.to_owned(), status: Box::new(status) };
    let mut client = EnrolmentClient::new(channel);
    let (sender, receiver) = mpsc::channel(2);
    let requests = Requests::make(request).await?;
    let gone = || JoinError::Protocol("the stream ended early");
    sender.send(init(request, &requests)).await.map_err(|_| gone())?;
    let opened = match kind {
        Kind::Join => client.join(ReceiverStream::new(receiver)).await,
        Kind::Renew => client.renew(ReceiverStream::new(receiver)).await,
    };
    let mut replies = opened.map_err(broke)?.into_inner();
    let challenge = match next(&mut replies).await.map_err(broke)?.ok_or_else(gone)? {
        join_reply::Message::Challenge(challenge) => challenge,
        other => return finish(other, request, &root),
    };
    compare_clocks(challenge.server_time_ms)?;
    let proof = prove(request, &requests, challenge, exporter, root.cluster()).await?;
    let proof = Message { message: Some(join_request::Message::Proof(proof)) };
    sender.send(proof).await.map_err(|_| gone())?;
    let verdict = next(&mut replies).await.map_err(broke)?.ok_or_else(gone)?;
    finish(verdict, request, &root)
}

fn not_dialed(address: &str, error: DialError) -> JoinError {
    match error {
        DialError::Server { source: ref verify, .. } if verify.is_out_of_time() => {
            JoinError::OutOfTime { address: address.to_owned(), source: error }
        }
        error => error.into(),
    }
}

async fn next(replies: &mut Streaming<JoinReply>) -> Result<Option<join_reply::Message>, Status> {
    Ok(replies.message().await?.and_then(|reply| reply.message))
}

fn finish(
    message: join_reply::Message,
    request: &JoinRequest<'_>,
    root: &holdfast_certs::RootCertificate,
) -> Result<Joined, JoinError> {
    match message {
        join_reply::Message::Grant(grant) => {
            Ok(Joined::Granted(Box::new(Granted::check(grant, request, root)?)))
        }
        join_reply::Message::Pending(pending) => Ok(Joined::Pending {
            id: PendingId::try_from(pending.pending_id.as_ref())
                .map_err(|_| JoinError::Protocol("pending id"))?,
            retry_after: Duration::from_millis(u64::from(pending.retry_after_ms).max(100)),
        }),
        join_reply::Message::Denied(denied) => {
            let unknown = |_| JoinError::Protocol("a refusal with a reason that this version does not know");
            Err(JoinError::Denied(denied.reason.parse::<Reason>().map_err(unknown)?))
        }
        join_reply::Message::Challenge(_) => Err(JoinError::Protocol("a second challenge")),
    }
}

/// The two certificate requests of one join.
struct Requests {
    csr: Vec<u8>,
    listener_csr: Vec<u8>,
}

impl Requests {
    async fn make(request: &JoinRequest<'_>) -> Result<Self, JoinError> {
        let signer = request.machine.signer();
        // The TPM signs: not on an async thread.
        let csr = tokio::task::spawn_blocking(move || csr::create(&signer)).await;
        let csr = csr.map_err(|_| JoinError::Protocol("making a certificate request was interrupted"))??;
        Ok(Self { csr, listener_csr: csr::create(request.listener)? })
    }
}

fn init(request: &JoinRequest<'_>, requests: &Requests) -> Message {
    let keys = request.machine.keys();
    let copy = |public: &holdfast_tpm_verify::Public| Bytes::copy_from_slice(public.as_bytes());
    let init = JoinInit {
        ek_public: copy(keys.ek.public()),
        ek_certificate: keys.ek_certificate.clone().unwrap_or_default().into(),
        ek_chain: keys.ek_chain.iter().cloned().map(Bytes::from).collect(),
        ak_public: copy(keys.ak.public()),
        srk_public: copy(keys.srk.public()),
        tls_public: copy(keys.tls.public()),
        csr: requests.csr.clone().into(),
        listener_csr: requests.listener_csr.clone().into(),
        role: request.role.as_str().to_owned(),
        address: request.advertise.to_owned(),
        node_id: request.node.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
        tpm_properties: String::new(),
        queue: request.queue,
    };
    Message { message: Some(join_request::Message::Init(init)) }
}

async fn prove(
    request: &JoinRequest<'_>,
    requests: &Requests,
    challenge: Challenge,
    exporter: Exporter,
    cluster: ClusterId,
) -> Result<Proof, JoinError> {
    let Challenge { challenge_id, nonce, cluster_id, id_object, enc_secret, pcr_selection, .. } = challenge;
    if cluster_id.as_ref() != cluster.as_bytes() {
        return Err(JoinError::Denied(Reason::WrongCluster));
    }
    let id = ChallengeId::try_from(challenge_id.as_ref()).map_err(|_| JoinError::Protocol("challenge id"))?;
    let nonce: [u8; 32] = nonce.as_ref().try_into().map_err(|_| JoinError::Protocol("nonce"))?;
    let selection =
        PcrSelection::try_from(pcr_selection.to_vec()).map_err(|_| JoinError::Protocol("PCR selection"))?;
    let (tpm, keys) = (request.machine.tpm(), request.machine.keys());
    let transcript = Transcript::new(&TranscriptParts {
        cluster,
        challenge: id,
        nonce: &nonce,
        exporter: exporter.as_bytes(),
        ek: keys.ek.name(),
        ak: keys.ak.name(),
        srk: keys.srk.name(),
        tls: keys.tls.name(),
        csr: &requests.csr,
        listener_csr: &requests.listener_csr,
        role: request.role,
    });
    let credential = CredentialBlob { id_object: id_object.to_vec(), enc_secret: enc_secret.to_vec() };
    let secret = tpm.activate(credential).await?;
    let ticket = request.ticket.map(|ticket| sign_ticket(ticket, &transcript));
    let pcrs = tpm.pcr_values(&selection).await?;
    Ok(Proof {
        challenge_id,
        credential_proof: challenge_proof(&secret, &transcript).to_vec().into(),
        ticket_public: ticket
            .as_ref()
            .map(|t| Bytes::copy_from_slice(t.ticket.as_bytes()))
            .unwrap_or_default(),
        ticket_signature: ticket.map(|t| t.signature.0.to_vec().into()).unwrap_or_default(),
        certify_tls: Some(attestation(tpm.certify_tls(*transcript.as_bytes()).await?)),
        certify_srk: Some(attestation(tpm.certify_srk(*transcript.as_bytes()).await?)),
        quote: Some(attestation(tpm.quote(&selection, *transcript.as_bytes()).await?)),
        pcr_values: pcrs.iter().map(|value| Bytes::copy_from_slice(&value.digest)).collect(),
        event_log: Bytes::new(),
    })
}

fn attestation(Attested { attest, signature }: Attested) -> Attestation {
    Attestation { attest: attest.into(), signature: signature.into() }
}

fn compare_clocks(server_ms: u64) -> Result<(), JoinError> {
    let own_ms = SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_millis()).unwrap_or_default();
    let own_ms = u64::try_from(own_ms).unwrap_or(u64::MAX);
    let difference_ms = own_ms.abs_diff(server_ms);
    if difference_ms > MAX_CLOCK_DIFFERENCE_MS {
        return Err(JoinError::Clock { difference_ms, behind: own_ms < server_ms });
    }
    Ok(())
}
