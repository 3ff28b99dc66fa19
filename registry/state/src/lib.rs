//! The registry as a pure function: the replicated state and the one way to change it.
//!
//! [`State::apply`] takes a [`Command`] and gives an [`Outcome`]. It reads no clock, draws no randomness and does no I/O: time,
//! keys and ids arrive inside the command, so every voter computes the same state from the same log. What a voter checked before it
//! proposed may have changed by the time of the commit; whatever can change is checked here again, and the loser is refused.
//!
//! The state holds keys in wrapped or sealed form only. Everything in it is bounded by [`limits`].

mod accounts;
mod admissions;
mod audit;
mod changes;
mod clients;
mod command;
mod devices;
mod founding;
mod groups;
mod joins;
pub mod limits;
mod map_change;
mod member;
mod nodes;
mod outcome;
mod people;
pub mod placement;
pub mod plan;
mod rotation;
mod shards;
mod snapshot;
mod state;
mod verify;
mod view;
mod voters;
mod wraps;

#[cfg(test)]
mod tests;

pub use audit::{AuditLog, AuditRecord};
pub use changes::{AccountChange, AdmitDevice, DeviceChange, Recover};
pub use command::{Act, Command, Found, Joining, RegisterClient, Renewal, TpmClock};
pub use map_change::{MapChange, PutMap};
pub use member::{AdmittedBy, Allowed, Client, Invite, Member, PendingJoin, Ticket, Voter, VoterState};
pub use nodes::{FloorRow, StandingChange};
pub use outcome::{Applied, Outcome};
pub use people::{AccountState, AccountView};
pub use placement::Observed;
pub use plan::Planned;
pub use shards::{LogFloor, NodeUse, Standing};
pub use snapshot::SnapshotError;
pub use state::{Founded, State};
pub use view::{Counts, GroupState};
pub use wraps::Recipient;
