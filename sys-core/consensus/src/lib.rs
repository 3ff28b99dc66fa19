//! Consensus: many Raft groups in one process, as bytes in and bytes out.
//!
//! The only crate that knows openraft and the Raft log engine. A [`Groups`] owns the process's one sealed,
//! group-committed log and one multiplexed stream to each peer process; a [`Group`] is one replica of one group.
//! What a group means is its [`StateMachine`]'s business.
//!
//! Order of durability: log synced on a quorum → applied → answered; barrier of the machine → snapshot file → purge of the
//! log up to it. A failed write or sync of the log ends the process.

mod adapter;
mod codec;
mod floor;
mod floors;
mod folders;
mod freshness;
mod group;
mod groups;
mod hibernate;
mod hibernator;
pub mod limits;
mod liveness;
mod log;
mod machine;
mod member;
mod net;
mod options;
mod pace;
mod peer;
mod proof;
mod propose;
mod reads;
mod replica;
mod sleep;
mod snapshot;
mod stall;
mod status;
mod testimony;
#[cfg(test)]
mod testing;
mod tls;
mod types;
mod watcher;

pub use adapter::in_place;
pub use floor::{Floor, Rollback};
pub use group::{Applied, Group, Leader, MembershipError, Pending, ProposeError, ReadError, WaitError};
pub use groups::{Groups, StartError};
pub use log::LogOpenError;
pub use machine::{Barrier, Command, MachineError, SnapshotView, StateMachine};
pub use member::{Member, Pin};
pub use net::{RaftService, Refusal};
pub use options::{Compaction, Hibernation, Options, Timing, TimingError};
pub use pace::Pace;
pub use peer::{AuthenticatedPeer, ConnectError, PeerAuth, PeerConnector, PeerDirectory, PeerId, PeerTarget};
pub use status::{GroupStatus, MembershipView, Role, Standing};
pub use tls::{TlsConnector, TlsPeerAuth};
