//! A member that left the path: its data folder and TPM are used by us instead of by its program.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use holdfast_certs::{Dialer, ExpectedServer};
use holdfast_domain::{NodeId, NodeRole, Signed, WrapRow, codec};
use holdfast_enrol::member::Member;
use holdfast_keys::{SoftSigner, sign};
use holdfast_proto::{
    consensus::v1::{Frame, FrameKind, raft_client::RaftClient},
    registry::v1::{
        GetWrapsRequest, PutWrapsRequest, SignedRow, WatchRequest, custody_client::CustodyClient,
        directory_client::DirectoryClient,
    },
};
use tonic::transport::Channel;

use super::{Answer, reason};

/// An opened member. Its own program must not run meanwhile.
pub struct Insider {
    member: Member,
}

impl Insider {
    /// Opens a stopped node's folder with its TPM.
    ///
    /// # Errors
    /// As the node's own start.
    pub async fn open(data: &Path) -> anyhow::Result<Self> {
        Ok(Self { member: Member::open(data, NodeRole::Node).await? })
    }

    /// A channel to a registry voter, with the TPM's identity.
    ///
    /// # Errors
    /// No connection.
    pub async fn registry(&self, address: &str) -> anyhow::Result<Channel> {
        open(&self.member.registry_dialer(), address, &ExpectedServer::AnyRegistry).await
    }

    /// A channel to another node, with the listener's identity.
    ///
    /// # Errors
    /// No connection.
    pub async fn peer(&self, address: &str, node: NodeId) -> anyhow::Result<Channel> {
        open(&self.member.peer_dialer(), address, &ExpectedServer::Node(node)).await
    }

    /// Its own id.
    pub fn node(&self) -> NodeId {
        self.member.settings().node
    }

    /// The wraps of a group as the registry gives them to this node.
    ///
    /// # Errors
    /// It gives none.
    pub async fn wraps(&self, registry: Channel, group: u32) -> anyhow::Result<Vec<Signed<WrapRow>>> {
        let reply = CustodyClient::new(registry).get_wraps(GetWrapsRequest { group }).await;
        let reply = reply.map_err(|status| anyhow::anyhow!(reason(&status)))?.into_inner();
        reply.wraps.into_iter().map(row).collect()
    }

    /// Stores changed wraps: the rows go through `change` and are signed again, by this node or by a stranger's key.
    ///
    /// # Errors
    /// They cannot be signed.
    pub async fn put_changed(
        &self,
        registry: Channel,
        rows: &[Signed<WrapRow>],
        signer: Signer,
        change: impl Fn(&mut WrapRow),
    ) -> anyhow::Result<Answer> {
        let mut wraps = Vec::new();
        for signed in rows {
            let mut row: WrapRow = codec::decode(&signed.bytes, holdfast_domain::wrap::MAX_WRAP)?;
            change(&mut row);
            let Signed { bytes, signature, .. } = self.sign(row, signer).await?;
            wraps.push(SignedRow { bytes: bytes.into(), signature: signature.0.to_vec().into() });
        }
        Ok(Answer::of(CustodyClient::new(registry).put_wraps(PutWrapsRequest { wraps }).await))
    }

    async fn sign(&self, row: WrapRow, signer: Signer) -> anyhow::Result<Signed<WrapRow>> {
        let tpm = self.member.machine.signer();
        let signed = tokio::task::spawn_blocking(move || match signer {
            Signer::Own => sign::sign_value(&tpm, holdfast_keys::labels::WRAP_ROW, &row),
            Signer::Stranger => {
                let key = SoftSigner::generate().map_err(|error| sign::SignError::Key(error.into()))?;
                sign::sign_value(&key, holdfast_keys::labels::WRAP_ROW, &row)
            }
        });
        signed.await.context("signing")?.context("signing a wrap")
    }

    /// Sends one Raft frame that claims to be from `from`, and says how it was answered.
    ///
    /// # Errors
    /// No answer at all.
    pub async fn raft_frame(&self, peer: Channel, group: u32, from: u64, to: u64) -> anyhow::Result<Answer> {
        let frame = Frame {
            group,
            from,
            to,
            request_id: 1,
            kind: FrameKind::Request.into(),
            payload: vec![0; 64].into(),
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(frame).await?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut replies = match RaftClient::new(peer).stream(stream).await {
            Ok(replies) => replies.into_inner(),
            Err(status) => return Ok(Answer::Refused(reason(&status))),
        };
        let reply = tokio::time::timeout(Duration::from_secs(5), replies.message()).await;
        match reply.context("no answer to a Raft frame")? {
            Ok(Some(frame)) if frame.kind() == FrameKind::Refused => {
                Ok(Answer::Refused(String::from_utf8_lossy(&frame.payload).into_owned()))
            }
            Ok(Some(_)) => Ok(Answer::Done),
            Ok(None) => Ok(Answer::Refused("the stream was closed".to_owned())),
            Err(status) => Ok(Answer::Refused(reason(&status))),
        }
    }

    /// Holds a watch open at a voter and measures from `ban` on how long its rights last: until the stream ends and a new
    /// call over the same connection is refused.
    ///
    /// # Errors
    /// It keeps its rights.
    pub async fn time_to_lose_rights(
        &self,
        registry: Channel,
        ban: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Duration> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let watch = DirectoryClient::new(registry.clone()).watch(WatchRequest {}).await;
        let mut watch = watch.map_err(|status| anyhow::anyhow!(reason(&status)))?.into_inner();
        watch.message().await.map_err(|status| anyhow::anyhow!(reason(&status)))?;
        tokio::task::spawn_blocking(ban).await.context("banning")??;
        let banned = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(banned.elapsed());
            let next = tokio::time::timeout(left, watch.message()).await;
            match next.context("the open stream of a banned node goes on")? {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let again = DirectoryClient::new(registry).watch(WatchRequest {}).await;
        if again.is_ok() {
            bail!("the open connection of a banned node still serves calls");
        }
        Ok(banned.elapsed())
    }
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The node's TPM.
    Own,
    /// A key that nobody knows.
    Stranger,
}

async fn open(dialer: &Dialer, address: &str, expected: &ExpectedServer) -> anyhow::Result<Channel> {
    Ok(dialer.connect(address, expected).await.with_context(|| format!("dialing {address}"))?.channel)
}

fn row(row: SignedRow) -> anyhow::Result<Signed<WrapRow>> {
    let signature: [u8; 64] = row.signature.as_ref().try_into().context("signature")?;
    Ok(Signed::from_parts(row.bytes.to_vec(), holdfast_domain::Signature64(signature)))
}
