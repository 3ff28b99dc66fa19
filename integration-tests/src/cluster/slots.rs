//! Slots that move between groups: ordered and watched by the calls that `holdfast` makes too.

use std::time::Duration;

use anyhow::Context as _;
use holdfast_proto::registry::v1::{
    GiveUpSlotMoveRequest, GroupRow, ListGroupsReply, ListGroupsRequest, MergeGroupsRequest,
    SplitGroupRequest,
};

use super::Cluster;
use crate::wait;

/// How long slots may take to move on a machine that is busy compiling.
const MOVE_TIMEOUT: Duration = Duration::from_secs(180);

impl Cluster {
    /// Begins to move the upper half of a group's slots to a new group; its number.
    ///
    /// # Errors
    /// It is refused.
    pub fn split(&self, group: u32) -> anyhow::Result<u32> {
        let request = SplitGroupRequest { group, slots: Vec::new() };
        let reply = self.ask(async |mut registry| registry.split_group(request).await);
        Ok(reply.context("splitting a group")?.to)
    }

    /// Begins to move all slots of a group to another, after which it is retired.
    ///
    /// # Errors
    /// It is refused.
    pub fn merge(&self, from: u32, to: u32) -> anyhow::Result<()> {
        let request = MergeGroupsRequest { from, to };
        self.ask(async |mut registry| registry.merge_groups(request).await).context("merging groups")?;
        Ok(())
    }

    /// Gives up what moves slots away from a group.
    ///
    /// # Errors
    /// It is refused.
    pub fn give_up_slot_move(&self, from: u32) -> anyhow::Result<()> {
        let request = GiveUpSlotMoveRequest { from };
        self.ask(async |mut registry| registry.give_up_slot_move(request).await)
            .context("giving a move up")?;
        Ok(())
    }

    /// Groups and moves of slots, by the first voter.
    ///
    /// # Errors
    /// It does not answer.
    pub fn slots(&self) -> anyhow::Result<ListGroupsReply> {
        let reply = self.ask(async |mut registry| registry.list_groups(ListGroupsRequest {}).await);
        reply.context("listing groups")
    }

    /// Waits until no slots move or wait to, and the groups are as wanted.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_slots(
        &self,
        what: &str,
        wanted: impl Fn(&[GroupRow]) -> bool,
    ) -> anyhow::Result<Vec<GroupRow>> {
        wait::until(MOVE_TIMEOUT, what, || {
            let ListGroupsReply { groups, slot_moves } = self.slots()?;
            Ok((slot_moves.is_empty() && wanted(&groups)).then_some(groups))
        })
    }
}
