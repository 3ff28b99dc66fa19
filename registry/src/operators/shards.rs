//! Operators' verbs on groups and nodes. Each may be asked for again: what is so already changes nothing.

#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::Bytes;
use holdfast_domain::{GroupId, NodeId, Reason, Slot, SpiffeSubject, map::MAX_MOVES};
use holdfast_proto::registry::v1 as pb;
use holdfast_registry_state::{
    Act, Applied, MapChange, Planned, Standing, StandingChange, State,
    placement::{self, PlannedMove},
    plan,
};
use holdfast_sys_core::Refusal;

use crate::{core::Core, services::wire};

/// Replicas of a group for which nobody said how many.
const REPLICAS: u32 = 3;
/// Ranges of slots in one request.
const MAX_RANGES: usize = 256;

impl Core {
    async fn change(
        &self,
        by: &SpiffeSubject,
        plan: impl Fn(&State) -> Result<Option<Planned>, Reason> + Send + Sync,
    ) -> Result<u64, Refusal> {
        match self.change_map(by, plan).await? {
            Applied::Map { epoch, .. } => Ok(epoch.0),
            _ => Ok(0),
        }
    }

    pub(crate) async fn create_groups(
        &self,
        by: &SpiffeSubject,
        count: u32,
        replicas: u32,
    ) -> Result<Vec<u32>, Refusal> {
        let replicas = if replicas == 0 { REPLICAS } else { replicas };
        let planned = |state: &State| plan::plan_groups(state, count, replicas).map(Some);
        match self.change_map(by, planned).await? {
            Applied::Map { groups, .. } => Ok(groups.into_iter().map(|group| group.0).collect()),
            _ => Ok(Vec::new()),
        }
    }

    pub(super) async fn move_replica(
        &self,
        by: &SpiffeSubject,
        group: GroupId,
        from: &[u8],
        target: &[u8],
    ) -> Result<u64, Refusal> {
        let target: NodeId = wire::id(target, "node id")?;
        let from: Option<NodeId> = if from.is_empty() { None } else { Some(wire::id(from, "node id")?) };
        self.change(by, |state| plan::plan_move(state, group, from, target)).await
    }

    pub(super) async fn cancel_move(&self, by: &SpiffeSubject, group: GroupId) -> Result<u64, Refusal> {
        self.change(by, |state| plan::plan_cancel(state, group)).await
    }

    pub(super) async fn merge_groups(
        &self,
        by: &SpiffeSubject,
        from: GroupId,
        to: GroupId,
    ) -> Result<u64, Refusal> {
        self.change(by, |state| plan::plan_merge(state, from, to)).await
    }

    pub(super) async fn give_up_slot_move(&self, by: &SpiffeSubject, from: GroupId) -> Result<u64, Refusal> {
        self.change(by, |state| plan::plan_give_up(state, from)).await
    }

    pub(super) async fn split_group(
        &self,
        by: &SpiffeSubject,
        request: pb::SplitGroupRequest,
    ) -> Result<pb::SplitGroupReply, Refusal> {
        let pb::SplitGroupRequest { group, slots } = request;
        if slots.len() > MAX_RANGES {
            return Err(wire::malformed("too many ranges of slots"));
        }
        let slots: Vec<_> = slots.iter().map(range).collect::<Result<_, _>>()?;
        let map_epoch = self.change(by, |state| plan::plan_split(state, GroupId(group), &slots)).await?;
        let to = self.state().split_target(GroupId(group)).map_or(0, |to| to.0);
        Ok(pb::SplitGroupReply { to, map_epoch })
    }

    /// The replicas that the node still has.
    pub(super) async fn set_standing(
        &self,
        by: &SpiffeSubject,
        request: &pb::SetStandingRequest,
    ) -> Result<u32, Refusal> {
        let node: NodeId = wire::id(&request.node_id, "node id")?;
        let standing = match request.standing() {
            pb::NodeStanding::Unspecified => None,
            pb::NodeStanding::Serving => Some(Standing::Serving),
            pb::NodeStanding::Cordoned => Some(Standing::Cordoned),
            pb::NodeStanding::Draining => Some(Standing::Draining),
            pb::NodeStanding::Removed => Some(Standing::Removed),
        };
        if standing.is_none() && !request.lost {
            return Err(wire::malformed("a standing"));
        }
        let lost = request.lost.then_some(StandingChange::Lost);
        for change in standing.map(StandingChange::Use).into_iter().chain(lost) {
            self.propose(by.clone(), Act::Standing { node, change }).await?;
        }
        Ok(u32::try_from(self.state().replicas_on(node)).unwrap_or(u32::MAX))
    }

    /// What is to move; begins with as much of it as may move at once, and placement goes on.
    pub(super) async fn rebalance(
        &self,
        by: &SpiffeSubject,
        dry_run: bool,
    ) -> Result<Vec<pb::PlannedMove>, Refusal> {
        self.read_index().await?;
        let moves = |core: &Self| {
            let state = core.state();
            placement::rebalance(&state, &core.health().observed(&state, Instant::now()))
        };
        let planned = moves(self);
        let begin = if dry_run { 0 } else { MAX_MOVES };
        for _ in 0..begin {
            let Some(PlannedMove { group, from, target }) = moves(self).first().copied() else { break };
            let add = |state: &State| {
                let replaces =
                    state.map().and_then(|(_, map)| map.group(group)?.on(from)).map(|of| of.replica);
                plan::plan(state, MapChange::Add { group, target, replaces }).map(Some)
            };
            self.change(by, add).await?;
        }
        Ok(planned.into_iter().map(row).collect())
    }
}

fn row(planned: PlannedMove) -> pb::PlannedMove {
    let PlannedMove { group, from, target } = planned;
    let bytes = |node: NodeId| Bytes::copy_from_slice(node.as_bytes());
    pb::PlannedMove { group: group.0, from_node: bytes(from), target_node: bytes(target) }
}

fn range(range: &pb::SlotRange) -> Result<(Slot, Slot), Refusal> {
    let slot = |number: u32| {
        let number = u16::try_from(number).map_err(wire::malformed)?;
        Slot::try_from(number).map_err(wire::malformed)
    };
    Ok((slot(range.first)?, slot(range.last)?))
}
