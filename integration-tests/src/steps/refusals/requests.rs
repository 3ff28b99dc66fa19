//! Requests of members and operators that are refused, and the ban.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::credential::OperatorCredential;
use holdfast_domain::{
    Admission, ClusterId, EkHash, NodeId, NodeRole, OperatorRequest, RequestSerial, SignedAdmission, UnixMs,
    codec,
};
use holdfast_keys::{SoftSigner, labels, sign};
use holdfast_proto::registry::v1::{SubmitRequest, operators_client::OperatorsClient};

use crate::{
    adversary::{
        Answer,
        insider::{Insider, Signer},
    },
    cluster::Cluster,
    network::act,
    steps::groups::home_of,
};

/// How soon after the commit a ban must work everywhere.
const BAN: Duration = Duration::from_secs(2);

/// An operator's connection is not enough: what widens access must be signed by the operator's key.
///
/// # Errors
/// It is applied.
pub fn unsigned_admission(cluster: &mut Cluster) -> anyhow::Result<()> {
    let voter = cluster.voter(0)?.address();
    let credential = OperatorCredential::open(&cluster.credential(), None)?;
    let id: ClusterId = cluster.founded()?.cluster.parse()?;
    let name = credential.description().name.clone();
    let stranger = SoftSigner::generate()?;
    let bytes = codec::encode(&admission(id)?)?;
    let forged = sign::sign_labelled(&stranger, labels::ADMISSION, &bytes)?;
    let genuine = sign::sign_labelled(credential.signer(), labels::ADMISSION, &bytes)?;
    let signed = |signatures| SignedAdmission { bytes: bytes.clone(), signatures };
    let submit = |admission| submit(&credential, &voter, admission);
    submit(signed(vec![]))?.expect(&["admission_unsigned"])?;
    submit(signed(vec![(name.clone(), forged)]))?.expect(&["admission_unsigned"])?;
    let properly = signed(vec![(name, genuine)]);
    ensure!(submit(properly.clone())? == Answer::Done, "a signed admission is refused");
    submit(properly)?.expect(&["admission_replayed"])
}

fn admission(cluster: ClusterId) -> anyhow::Result<Admission> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let issued = UnixMs(u64::try_from(now)?);
    Ok(Admission {
        cluster,
        set: 0,
        serial: RequestSerial::new(holdfast_keys::random_array()?),
        issued,
        expires: issued.plus_ms(600_000),
        request: OperatorRequest::AllowEk { ek: EkHash::new([0x77; 32]), role: NodeRole::Node },
    })
}

fn submit(
    credential: &OperatorCredential,
    voter: &str,
    admission: SignedAdmission,
) -> anyhow::Result<Answer> {
    let identity = LiveIdentity::new(credential.identity()?);
    let dialer = Dialer::new(credential.trust().live(), Some(identity));
    let admission = codec::encode(&admission)?.into();
    act(async {
        let channel = dialer.connect(voter, &ExpectedServer::AnyRegistry).await?.channel;
        Ok(Answer::of(OperatorsClient::new(channel).submit(SubmitRequest { admission }).await))
    })
}

/// A node that left the path: its wraps and Raft frames are refused, and when it is banned it loses what it had open.
/// Returns how long that took. The node is itself again afterwards.
///
/// # Errors
/// Something is taken from it, or the ban is slow.
pub fn misbehaving_member(cluster: &mut Cluster) -> anyhow::Result<Duration> {
    let groups = cluster.groups()?;
    let hosts =
        |node: &str| groups.iter().find(|group| home_of(&groups, group.group).ok().as_deref() == Some(node));
    let index =
        cluster.nodes.iter().position(|node| node.node.as_deref().is_some_and(|id| hosts(id).is_some()));
    let index = index.context("no node with a group")?;
    let id = cluster.node(index)?.node.clone().context("no node id")?;
    let own = hosts(&id).context("no group")?.group;
    let other = groups.iter().find(|group| group.replicas.iter().all(|replica| replica.node != id));
    let other = other.context("no group elsewhere")?;
    let replica = other.replicas.first().context("no replica")?;
    let peer =
        cluster.nodes.iter().find(|node| node.node.as_ref() == Some(&replica.node)).context("no peer")?;
    let (peer_address, peer_id) = (peer.address(), replica.node.parse::<NodeId>()?);
    let (voters, operator) = (cluster.registries(), cluster.holdfast());
    let node = cluster.node(index)?;
    node.stop()?;
    let data = node.data().to_owned();
    let (banned, target, claimed) = (id.clone(), replica.replica, replica.replica + 1_000);
    let (other, operator_after) = (other.group, operator.clone());
    let took = act(async move {
        let insider = Insider::open(&data).await?;
        let registry = insider.registry(voters.first().context("no voter")?).await?;
        substituted_wraps(&insider, registry.clone(), own, other).await?;
        let peer = insider.peer(&peer_address, peer_id).await?;
        let frame = insider.raft_frame(peer.clone(), other, claimed, target).await?;
        frame.expect(&["not-a-member", "not_a_member"])?;
        let frame = insider.raft_frame(peer, other, target, target).await?;
        frame.expect(&["not-the-sender", "not_a_member"])?;
        let mut channels = Vec::new();
        for voter in &voters {
            channels.push(insider.registry(voter).await?);
        }
        let ban = move || operator.ok(["node", "ban", &banned]).map(drop).context("banning a node");
        insider.time_to_lose_rights(channels, insider.peer(&peer_address, peer_id).await?, ban).await
    })?;
    ensure!(took < BAN, "the banned node kept its rights for {} ms", took.as_millis());
    let node = cluster.node(index)?;
    operator_after.ok(["node", "unban", &id]).context("lifting a ban")?;
    node.start_and_wait().context("the node after its ban")?;
    Ok(took)
}

/// Wraps that are not what they say: another key, another signer, another group.
async fn substituted_wraps(
    insider: &Insider,
    registry: tonic::transport::Channel,
    own: u32,
    other: u32,
) -> anyhow::Result<()> {
    use holdfast_domain::{GroupId, Kcv, KeySubject};
    let rows = insider.wraps(registry.clone(), own).await?;
    ensure!(!rows.is_empty(), "the node has no wrap of its own group");
    let put = |signer, change: fn(&mut holdfast_domain::WrapRow, u32)| {
        insider.put_changed(registry.clone(), &rows, signer, move |row| change(row, other))
    };
    put(Signer::Stranger, |_, _| {}).await?.expect(&["wrap_signature"])?;
    put(Signer::Own, |row, _| row.kcv = Kcv::new([9; Kcv::LEN])).await?.expect(&["wrap_mismatch"])?;
    let foreign = put(Signer::Own, |row, other| row.subject = KeySubject::Dmk(GroupId(other))).await?;
    foreign.expect(&["not_a_member"])
}
