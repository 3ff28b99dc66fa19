//! A member that left the path: its data folder and TPM are used by us instead of by its program.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use holdfast_certs::{Dialer, ExpectedServer};
use holdfast_domain::{NodeId, NodeRole, Signed, WrapRow, codec};
use holdfast_enrol::member::Member;
use holdfast_keys::{SoftSigner, sign};
use holdfast_proto::{
    consensus::v1::{Frame, FrameKind, raft_client::RaftClient},
    node::v1::{FetchChunksRequest, peer_client::PeerClient},
    registry::v1::{
        GetWrapsRequest, PutWrapsRequest, SignedRow, WatchEvent, WatchRequest, custody_client::CustodyClient,
        directory_client::DirectoryClient,
    },
};
use tonic::{Streaming, transport::Channel};

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
            // The key may have come here by a move: then its wraps are another machine's.
            row.by = self.node();
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

    /// Holds a watch open at each voter and a connection to a peer, lets itself be banned, and measures from the moment
    /// before the ban was asked for until all of that has ended and none of the connections serves another call.
    ///
    /// # Errors
    /// It keeps a right.
    pub async fn time_to_lose_rights(
        &self,
        voters: Vec<Channel>,
        peer: Channel,
        ban: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Duration> {
        let mut watches = Vec::new();
        for voter in &voters {
            let watch = DirectoryClient::new(voter.clone()).watch(WatchRequest {}).await;
            let mut watch = watch.map_err(|status| anyhow::anyhow!(reason(&status)))?.into_inner();
            watch.message().await.map_err(|status| anyhow::anyhow!(reason(&status)))?;
            watches.push(watch);
        }
        ensure!(is_served(peer.clone()).await, "the peer served nothing before the ban");
        let begun = Instant::now();
        let banning = tokio::task::spawn_blocking(ban);
        for watch in watches {
            ended(watch).await?;
        }
        while is_served(peer.clone()).await {
            ensure!(begun.elapsed() < PATIENCE, "the open connection to a peer still serves a banned node");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = begun.elapsed();
        banning.await.context("banning")??;
        for voter in voters {
            let again = DirectoryClient::new(voter).watch(WatchRequest {}).await;
            ensure!(again.is_err(), "the open connection of a banned node still serves calls");
        }
        Ok(took)
    }
}

/// Longer than any ban may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for the end of a watch.
async fn ended(mut watch: Streaming<WatchEvent>) -> anyhow::Result<()> {
    let end = async { while let Ok(Some(_)) = watch.message().await {} };
    tokio::time::timeout(PATIENCE, end).await.context("the open stream of a banned node goes on")
}

/// Whether a peer serves this node at all: the group that is asked for does not exist, and whoever is served is told so.
async fn is_served(peer: Channel) -> bool {
    let request = FetchChunksRequest { group: u32::MAX, chunk_ids: Vec::new() };
    let answer = Answer::of(PeerClient::new(peer).fetch_chunks(request).await);
    let lost = ["banned", "Status {"];
    answer.expect(&lost).is_err()
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
