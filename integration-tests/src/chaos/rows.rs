//! What operators ask and order, of whichever voter answers.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::credential::OperatorCredential;
use holdfast_proto::registry::v1::{self as pb, operators_client::OperatorsClient};
use tonic::{Response, Status, transport::Channel};

use crate::{cluster::Cluster, network::act, wait};

/// Rounds of asking all voters, while none can say yes.
const ROUNDS: usize = 40;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one voter may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// One group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) group: u32,
    state: String,
    slots: u32,
    /// The node that leads it, by its position, if one is known.
    pub(super) leader: Option<usize>,
    pub(super) replicas: Vec<Replica>,
}

/// One replica.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    /// Its node's position.
    pub(super) node: Option<usize>,
    state: String,
    fault: String,
    missing_chunks: u64,
    lag: u64,
    records: u64,
    heard_ms_ago: u64,
}

impl Group {
    /// Whether it has its replicas, all of them voters that say that they are well.
    pub(super) fn is_healthy(&self, replicas: usize) -> bool {
        self.state == "ready"
            && self.leader.is_some()
            && self.replicas.len() == replicas
            && self.replicas.iter().all(Replica::is_sound)
    }

    /// Whether all replicas are as far as each other and count as many records.
    pub(super) fn is_even(&self) -> bool {
        let records = self.replicas.first().map_or(0, |replica| replica.records);
        self.replicas.iter().all(|replica| replica.lag == 0 && replica.records == records)
    }

    /// A group without slots is on its way out, or waits to be filled.
    pub(super) fn is_empty(&self) -> bool {
        self.slots == 0
    }

    pub(super) fn is_on(&self, node: usize) -> bool {
        self.replicas.iter().any(|replica| replica.node == Some(node))
    }
}

impl Replica {
    fn is_sound(&self) -> bool {
        let heard = self.heard_ms_ago > 0 && self.heard_ms_ago < 8_000;
        self.state == "voter" && self.fault.is_empty() && self.missing_chunks == 0 && heard
    }
}

impl Cluster {
    /// All groups with what their replicas say of themselves.
    pub(super) fn group_rows(&self) -> anyhow::Result<Vec<Group>> {
        let reply = self
            .order("list groups", 1, async |mut voter| voter.list_groups(pb::ListGroupsRequest {}).await)?;
        Ok(reply.groups.into_iter().map(|row| self.group_of(row)).collect())
    }

    /// One of them.
    pub(super) fn group_row(&self, group: u32) -> anyhow::Result<Group> {
        self.group_rows()?.into_iter().find(|row| row.group == group).context("no such group")
    }

    fn group_of(&self, row: pb::GroupRow) -> Group {
        let node = |id: &Bytes| {
            let id = hex::encode(id);
            self.nodes.iter().position(|node| node.node.as_ref() == Some(&id))
        };
        let replicas = row.replicas.iter().map(|replica| Replica {
            node: node(&replica.node_id),
            state: replica.state.clone(),
            fault: replica.fault.clone(),
            missing_chunks: replica.missing_chunks,
            lag: replica.lag,
            records: replica.records,
            heard_ms_ago: replica.heard_ms_ago,
        });
        let (replicas, leader) = (replicas.collect(), node(&row.leader));
        Group { group: row.group, state: row.state, slots: row.slots, leader, replicas }
    }

    /// Orders that one replica moves.
    pub(super) fn order_move(&self, group: u32, from: usize, to: usize) -> anyhow::Result<()> {
        let (from_node, target_node) = (self.id_at(from)?, self.id_at(to)?);
        let request = pb::MoveReplicaRequest { group, from_node, target_node };
        self.order("move a replica", ROUNDS, async |mut voter| voter.move_replica(request.clone()).await)?;
        Ok(())
    }

    /// Orders what a node is used for.
    pub(super) fn order_standing(&self, node: usize, standing: pb::NodeStanding) -> anyhow::Result<()> {
        let request =
            pb::SetStandingRequest { node_id: self.id_at(node)?, standing: standing.into(), lost: false };
        self.order("set a standing", ROUNDS, async |mut voter| voter.set_standing(request.clone()).await)?;
        Ok(())
    }

    /// Orders that half of a group's slots go to a new group: which one.
    pub(super) fn order_split(&self, group: u32) -> anyhow::Result<u32> {
        let request = pb::SplitGroupRequest { group, slots: vec![] };
        let split =
            self.order("split", ROUNDS, async |mut voter| voter.split_group(request.clone()).await)?;
        Ok(split.to)
    }

    /// Orders that all slots of a group go to another.
    pub(super) fn order_merge(&self, from: u32, to: u32) -> anyhow::Result<()> {
        let request = pb::MergeGroupsRequest { from, to };
        self.order("merge", ROUNDS, async |mut voter| voter.merge_groups(request).await)?;
        Ok(())
    }

    /// Asks one voter after the other, and all of them again for a while.
    fn order<T>(
        &self,
        what: &str,
        rounds: usize,
        call: impl AsyncFn(OperatorsClient<Channel>) -> Result<Response<T>, Status>,
    ) -> anyhow::Result<T> {
        let credential = OperatorCredential::open(&self.credential(), None)?;
        let identity = LiveIdentity::new(credential.identity()?);
        let dialer = Dialer::new(credential.trust().live(), Some(identity));
        let mut last = anyhow!("there are no voters");
        for round in 0..rounds {
            if round > 0 {
                wait::rest(PAUSE)?;
            }
            for voter in self.registries() {
                let answer = act(async {
                    let answer = async {
                        let channel = dialer.connect(&voter, &ExpectedServer::AnyRegistry).await?.channel;
                        anyhow::Ok(call(OperatorsClient::new(channel)).await?.into_inner())
                    };
                    tokio::time::timeout(ANSWER, answer).await?
                });
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(error) => last = error,
                }
            }
        }
        Err(last.context(what.to_owned()))
    }
}
