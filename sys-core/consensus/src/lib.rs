//! Consensus: many Raft groups in one process, as bytes in and bytes out.
//!
//! The only crate that knows openraft and the Raft log engine. A [`Groups`] owns the process's one sealed,
//! group-committed log and one multiplexed stream to each peer process; a [`Group`] is one replica of one group.
//! What a group means is its [`StateMachine`]'s business. See `docs` in each module for the order of durability.

#![allow(clippy::todo, unused)]

mod group;
mod groups;
pub mod limits;
mod machine;
mod member;
mod options;
mod peer;
mod status;

pub use group::{Applied, Group, MembershipError, ProposeError, ReadError, WaitError};
pub use groups::{Groups, OpenError, StartError};
pub use machine::{Barrier, Command, MachineError, SnapshotView, StateMachine};
pub use member::{Member, Pin};
pub use options::{Compaction, Options, Timing, TimingError};
pub use peer::{AuthenticatedPeer, ConnectError, PeerAuth, PeerConnector, PeerDirectory, PeerId, PeerTarget};
pub use status::{GroupStatus, MembershipView, Role};
