//! Frames that must be refused, on a real stream.

#![allow(clippy::unwrap_used, reason = "support of tests only")]

mod support;

use holdfast_consensus::AuthenticatedPeer;
use holdfast_domain::GroupId;
use holdfast_proto::consensus::v1::raft_client::RaftClient;
use holdfast_proto::consensus::v1::{Frame, FrameKind};
use support::{Net, Node, SOON, identity, leader, members, replica, three};

/// Sends one frame as `peer` and returns the answer's kind and, for a refusal, its code.
async fn send(net: &Net, to_node: u8, peer: AuthenticatedPeer, frame: Frame) -> (FrameKind, String) {
    let channel = net.dial(&support::member(to_node).address, peer).await.unwrap();
    let frames = tokio_stream::StreamExt::chain(tokio_stream::once(frame), tokio_stream::pending());
    let mut answers = RaftClient::new(channel).stream(frames).await.unwrap().into_inner();
    let answer = tokio::time::timeout(SOON, answers.message()).await.unwrap().unwrap().unwrap();
    (FrameKind::try_from(answer.kind).unwrap(), String::from_utf8_lossy(&answer.payload).into_owned())
}

fn frame(group: u32, from: u8, to: u8, payload: &[u8]) -> Frame {
    Frame {
        group,
        from: replica(group, from).0,
        to: replica(group, to).0,
        request_id: 1,
        kind: FrameKind::Request.into(),
        payload: payload.to_vec().into(),
    }
}

/// Version 1, the request for votes, of candidate `from` in a term far ahead.
fn ballot(group: u32, from: u8, granted: u8) -> Vec<u8> {
    vec![1, 1, 99, u8::try_from(replica(group, from).0).unwrap(), granted, 0, 0]
}

/// Version 1, the request for a read index.
const READ_INDEX: &[u8] = &[1, 8];

async fn refused(net: &Net, to_node: u8, peer: AuthenticatedPeer, frame: Frame) -> String {
    let (kind, code) = send(net, to_node, peer, frame).await;
    assert_eq!(kind, FrameKind::Refused, "{code}");
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_frames_are_refused_and_touch_nothing() {
    let net = Net::default();
    let nodes = three(&net, &[1]).await;
    let at = leader(&nodes, 1).await;
    let to = nodes[at].number;
    let (honest, other) = (nodes[(at + 1) % 3].number, nodes[(at + 2) % 3].number);
    let group = nodes[at].groups.get(GroupId(1)).unwrap();
    let before = group.status();
    let as_honest = identity(honest, false);

    // A member that claims to be another one; a stranger; a member of the group under a registry's identity.
    assert_eq!(
        refused(&net, to, as_honest, frame(1, other, to, &ballot(1, other, 0))).await,
        "not-the-sender"
    );
    assert_eq!(
        refused(&net, to, identity(9, false), frame(1, 9, to, &ballot(1, 9, 0))).await,
        "not-a-member"
    );
    let as_registry = identity(honest, true);
    assert_eq!(
        refused(&net, to, as_registry, frame(1, honest, to, &ballot(1, honest, 0))).await,
        "not-the-sender"
    );
    // The right name with another key.
    let other_key = AuthenticatedPeer { spki: identity(9, false).spki, ..as_honest };
    assert_eq!(
        refused(&net, to, other_key, frame(1, honest, to, &ballot(1, honest, 0))).await,
        "not-the-pinned-key"
    );
    // A member that speaks for another candidate, or as a leader in a candidate's place.
    assert_eq!(
        refused(&net, to, as_honest, frame(1, honest, to, &ballot(1, other, 0))).await,
        "speaks-for-another"
    );
    assert_eq!(
        refused(&net, to, as_honest, frame(1, honest, to, &ballot(1, honest, 1))).await,
        "speaks-for-another"
    );
    // Wrong addresses and content.
    assert_eq!(refused(&net, to, as_honest, frame(2, honest, to, READ_INDEX)).await, "unknown-group");
    assert_eq!(refused(&net, to, as_honest, frame(1, honest, other, READ_INDEX)).await, "wrong-replica");
    assert_eq!(refused(&net, to, as_honest, frame(1, honest, to, b"nonsense")).await, "malformed");
    assert_eq!(refused(&net, to, as_honest, frame(1, honest, to, &[])).await, "malformed");
    let answer = Frame { kind: FrameKind::Response.into(), ..frame(1, honest, to, READ_INDEX) };
    assert_eq!(refused(&net, to, as_honest, answer).await, "malformed");

    let after = group.status();
    assert_eq!((after.term, after.leader, after.last_log), (before.term, before.leader, before.last_log));
    // The same stream carries an honest frame.
    assert_eq!(send(&net, to, as_honest, frame(1, honest, to, READ_INDEX)).await.0, FrameKind::Response);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registrys_group_takes_registry_identities_only() {
    let net = Net::default();
    let mut node = Node::start(1, &net).await;
    let group = node.host(GroupId::REGISTRY, replica(0, 1).0).await;
    group.bootstrap(members(0, &[1, 2, 3])).await.unwrap();
    let ask = frame(0, 2, 1, &ballot(0, 2, 0));
    assert_eq!(refused(&net, 1, identity(2, false), ask.clone()).await, "not-the-sender");
    assert_eq!(send(&net, 1, identity(2, true), ask).await.0, FrameKind::Response);
}
