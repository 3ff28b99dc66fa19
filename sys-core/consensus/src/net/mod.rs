//! Raft between processes: frames of all groups on one stream a peer, checked one by one.

mod appends;
mod client;
mod gate;
mod inbound;
mod link;
mod peers;
mod service;
mod transfer;
pub(crate) mod wire;

pub(crate) use client::Network;
pub use gate::Refusal;
pub(crate) use link::{CallError, Link, Links};
pub(crate) use peers::{Peers, own_commit, quorum_age};
pub(crate) use service::Hosted;
pub use service::RaftService;
pub(crate) use transfer::Incoming;
