//! Groups, their replicas and the nodes that hold them. What an operator wants is committed and then done in the background; each of these can be
//! asked for again, and what is so already changes nothing.

use holdfast_domain::{GroupId, MapEpoch, NodeId, Slot};
use holdfast_proto::registry::v1::{self as pb, operators_client::OperatorsClient};
use tonic::transport::Channel;

use super::{Operator, PlannedMove, Shards, view::GroupRow};
use crate::{Error, registries::Repeat};

/// What a node is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes replicas.
    Serving,
    /// It keeps what it has and gets nothing new.
    Cordoned,
    /// Its replicas move away.
    Draining,
    /// It has nothing left and never gets anything again.
    Removed,
}

impl From<Standing> for pb::NodeStanding {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Serving => Self::Serving,
            Standing::Cordoned => Self::Cordoned,
            Standing::Draining => Self::Draining,
            Standing::Removed => Self::Removed,
        }
    }
}

impl Operator {
    /// All groups, and the moves of slots between them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shards(&self) -> Result<Shards, Error> {
        const ACTION: &str = "list the shard groups";
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.list_groups(pb::ListGroupsRequest {}).await
        };
        Shards::read(self.call(ACTION, Repeat::Safe, call).await?, ACTION)
    }

    /// All groups.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn groups(&self) -> Result<Vec<GroupRow>, Error> {
        Ok(self.shards().await?.groups)
    }

    /// Plans the cluster's groups over the serving nodes, each with 1, 3 or 5 replicas; they are founded in the background.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unknown`] when the reply was lost, and `Conflict` when there are groups already.
    pub async fn create_groups(&self, count: u32, replicas: u32) -> Result<Vec<GroupId>, Error> {
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.create_groups(pb::CreateGroupsRequest { count, replicas }).await
        };
        let reply = self.call("create shard groups", Repeat::UnlessSent, call).await?;
        let pb::CreateGroupsReply { groups } = reply;
        Ok(groups.into_iter().map(GroupId).collect())
    }

    /// Puts a replica of a group on another node, in the place of the one on `from`; that may be left out where there is only one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn move_replica(
        &self,
        group: GroupId,
        from: Option<NodeId>,
        target: NodeId,
    ) -> Result<MapEpoch, Error> {
        let call = |mut client: OperatorsClient<Channel>| {
            let from_node = from.map(|node| node.as_bytes().to_vec().into()).unwrap_or_default();
            let target_node = target.as_bytes().to_vec().into();
            let request = pb::MoveReplicaRequest { group: group.0, from_node, target_node };
            async move { client.move_replica(request).await }
        };
        let action = format!("move a replica of shard group {group} to node {target}");
        let pb::MoveReplicaReply { map_epoch } = self.call(&action, Repeat::UnlessRefused, call).await?;
        Ok(MapEpoch(map_epoch))
    }

    /// Gives up what is under way in a group: its newcomers leave again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_move(&self, group: GroupId) -> Result<MapEpoch, Error> {
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.cancel_move(pb::CancelMoveRequest { group: group.0 }).await
        };
        let action = format!("cancel what is under way in shard group {group}");
        let pb::CancelMoveReply { map_epoch } = self.call(&action, Repeat::UnlessRefused, call).await?;
        Ok(MapEpoch(map_epoch))
    }

    /// Says what a node is to be used for; `lost` that its machine is gone for good. Returns how many replicas are still on it.
    ///
    /// # Errors
    /// See [`Error`]; `NotEmpty` where a node that has replicas is to be removed.
    pub async fn set_standing(&self, node: NodeId, standing: Standing, lost: bool) -> Result<u32, Error> {
        let call = |mut client: OperatorsClient<Channel>| {
            let mut request =
                pb::SetStandingRequest { node_id: node.as_bytes().to_vec().into(), standing: 0, lost };
            request.set_standing(standing.into());
            async move { client.set_standing(request).await }
        };
        let action = match standing {
            Standing::Serving => format!("use node {node} again"),
            Standing::Cordoned => format!("cordon node {node}"),
            Standing::Draining => format!("drain node {node}"),
            Standing::Removed => format!("remove node {node}"),
        };
        let pb::SetStandingReply { replicas } = self.call(&action, Repeat::UnlessRefused, call).await?;
        Ok(replicas)
    }

    /// Evens out replicas and bytes over the nodes. Returns what moves, or with `dry_run` what would.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rebalance(&self, dry_run: bool) -> Result<Vec<PlannedMove>, Error> {
        const ACTION: &str = "rebalance the shard groups";
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.rebalance(pb::RebalanceRequest { dry_run }).await
        };
        let pb::RebalanceReply { moves } = self.call(ACTION, Repeat::UnlessRefused, call).await?;
        moves.iter().map(|row| PlannedMove::read(row, ACTION)).collect()
    }

    /// Moves slots of a group to a new one: the upper half without any. Returns the new group.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn split(&self, group: GroupId, slots: &[(Slot, Slot)]) -> Result<GroupId, Error> {
        let range = |(first, last): &(Slot, Slot)| pb::SlotRange {
            first: first.number().into(),
            last: last.number().into(),
        };
        let call = |mut client: OperatorsClient<Channel>| {
            let slots = slots.iter().map(range).collect();
            async move { client.split_group(pb::SplitGroupRequest { group: group.0, slots }).await }
        };
        let action = format!("split shard group {group}");
        let pb::SplitGroupReply { to, map_epoch: _ } =
            self.call(&action, Repeat::UnlessRefused, call).await?;
        Ok(GroupId(to))
    }

    /// Moves all slots of a group to another one; the empty group goes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn merge(&self, from: GroupId, to: GroupId) -> Result<MapEpoch, Error> {
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.merge_groups(pb::MergeGroupsRequest { from: from.0, to: to.0 }).await
        };
        let action = format!("merge shard group {from} into {to}");
        let pb::MergeGroupsReply { map_epoch } = self.call(&action, Repeat::UnlessRefused, call).await?;
        Ok(MapEpoch(map_epoch))
    }

    /// Gives up the move of slots from a group; it may still come to its end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn give_up_slot_move(&self, from: GroupId) -> Result<MapEpoch, Error> {
        let call = |mut client: OperatorsClient<Channel>| async move {
            client.give_up_slot_move(pb::GiveUpSlotMoveRequest { from: from.0 }).await
        };
        let action = format!("give up the move of slots from shard group {from}");
        let pb::GiveUpSlotMoveReply { map_epoch } = self.call(&action, Repeat::UnlessRefused, call).await?;
        Ok(MapEpoch(map_epoch))
    }
}
