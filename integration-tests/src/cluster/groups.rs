//! Replicated groups: made, moved and watched by the calls that `holdfast` makes too.

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::credential::OperatorCredential;
use holdfast_proto::registry::v1::{
    CreateGroupsRequest, GroupRow, ListGroupsRequest, MoveReplicaRequest, NodeStanding, SetStandingRequest,
    operators_client::OperatorsClient,
};
use tonic::{Status, transport::Channel};

use super::{AGREE_TIMEOUT, Cluster, operator};
use crate::{network::act, wait};

/// Replicas of a group where nobody says otherwise and there are nodes enough.
const REPLICAS: u32 = 3;

impl Cluster {
    /// Creates groups of three replicas, or of one where there are fewer nodes, and waits until all groups are ready.
    ///
    /// # Errors
    /// They do not become ready.
    pub fn create_groups(&self, count: u32) -> anyhow::Result<Vec<operator::GroupRow>> {
        let replicas = if self.nodes.len() < usize::try_from(REPLICAS)? { 1 } else { REPLICAS };
        self.create_groups_of(count, replicas)
    }

    /// Creates groups of so many replicas and waits until all groups are ready.
    ///
    /// # Errors
    /// They do not become ready.
    pub fn create_groups_of(&self, count: u32, replicas: u32) -> anyhow::Result<Vec<operator::GroupRow>> {
        let request = CreateGroupsRequest { count, replicas };
        self.ask(async |mut registry| registry.create_groups(request).await).context("creating groups")?;
        self.wait_groups_ready()
    }

    /// All groups with what heartbeats say of their replicas, by the first voter.
    ///
    /// # Errors
    /// It does not answer.
    pub fn replicas(&self) -> anyhow::Result<Vec<GroupRow>> {
        let reply = self.ask(async |mut registry| registry.list_groups(ListGroupsRequest {}).await);
        Ok(reply.context("listing groups")?.groups)
    }

    /// The node that leads a group, by its place among the cluster's nodes.
    ///
    /// # Errors
    /// None does in time.
    pub fn leader_of(&self, group: u32) -> anyhow::Result<usize> {
        wait::until(AGREE_TIMEOUT, "a leader of the group", || {
            let rows = self.replicas()?;
            let row = rows.iter().find(|row| row.group == group).context("no such group")?;
            Ok(self.nodes.iter().position(|node| id_of(node.node.as_deref()) == row.leader))
        })
    }

    /// Moves a replica of a group from one node to another, and waits until that is done.
    ///
    /// # Errors
    /// It is not done in time.
    pub fn move_replica(&self, group: u32, from: usize, to: usize) -> anyhow::Result<()> {
        let (from_node, target_node) = (self.id_at(from)?, self.id_at(to)?);
        let request =
            MoveReplicaRequest { group, from_node: from_node.clone(), target_node: target_node.clone() };
        self.ask(async |mut registry| registry.move_replica(request).await).context("moving a replica")?;
        wait::until(AGREE_TIMEOUT, "a replica that has moved", || {
            let rows = self.replicas()?;
            let row = rows.iter().find(|row| row.group == group).context("no such group")?;
            let on = |node: &Bytes| row.replicas.iter().any(|replica| replica.node_id == *node);
            Ok((row.state == "ready" && on(&target_node) && !on(&from_node)).then_some(()))
        })
    }

    /// Says what a node is to be used for.
    ///
    /// # Errors
    /// It is refused.
    pub fn set_standing(&self, node: usize, standing: NodeStanding) -> anyhow::Result<u32> {
        let node_id = self.id_at(node)?;
        let request = SetStandingRequest { node_id, standing: standing.into(), lost: false };
        let reply = self.ask(async |mut registry| registry.set_standing(request).await);
        Ok(reply.context("a node's standing")?.replicas)
    }

    /// The id of the node at a place.
    ///
    /// # Errors
    /// There are fewer.
    pub fn id_at(&self, node: usize) -> anyhow::Result<Bytes> {
        let node = self.nodes.get(node).context("no such node")?;
        Ok(id_of(node.node.as_deref()))
    }

    /// Asks the first voter as the operator.
    pub(super) fn ask<T>(
        &self,
        call: impl AsyncFnOnce(OperatorsClient<Channel>) -> Result<tonic::Response<T>, Status>,
    ) -> anyhow::Result<T> {
        let credential = OperatorCredential::open(&self.credential(), None)?;
        let identity = LiveIdentity::new(credential.identity()?);
        let dialer = Dialer::new(credential.trust().live(), Some(identity));
        let voter = self.voters.first().context("no voter")?.address();
        act(async {
            let channel = dialer.connect(&voter, &ExpectedServer::AnyRegistry).await?.channel;
            Ok(call(OperatorsClient::new(channel)).await?.into_inner())
        })
    }
}

fn id_of(node: Option<&str>) -> Bytes {
    hex::decode(node.unwrap_or_default()).unwrap_or_default().into()
}
