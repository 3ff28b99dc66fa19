//! What modules are given of the groups of this node.
//!
//! A [`NodeHost`] leads a caller to its own home in a [`ShardGroup`] that this node serves; the partition it hands out turns names
//! into tokens, seals and opens values, decides commands against the group's state and proposes them.

mod commit;
mod cursor;
mod decide;
mod doubt;
mod home;
mod homes;
mod host;
mod hosted;
mod lane;
mod list;
mod names;
pub(crate) mod refusals;
mod room;
mod rows;
mod shard;

#[cfg(test)]
pub(crate) mod tests;

use holdfast_store::records::{Tablespace, TablespaceSpec};

pub(crate) use self::{
    decide::{Deciding, Stop},
    homes::HomeRef,
    rows::{Found, HomeRows},
};
pub use self::{
    host::{MapSource, NodeHost},
    hosted::HostedGroups,
    shard::ShardGroup,
};

/// A module's tablespace, with the rows that the store itself keeps in it. Numbers are unique in a cluster for ever.
pub const fn tablespace(id: u32, module: &'static str, name: &'static str) -> TablespaceSpec {
    TablespaceSpec { id: Tablespace(id), module, name, indexes: crate::content::ROWS }
}
