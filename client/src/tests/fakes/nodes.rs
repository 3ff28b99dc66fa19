//! Shard nodes: who leads, what the map says, and how each call is received.

use holdfast_certs::Peer;
use holdfast_domain::{
    GroupDescriptor, GroupId, Lineage, MapEpoch, NodeId, Reason, ReplicaDescriptor, ReplicaId, ReplicaState,
    ShardEpoch, ShardMap, Signed, SlotMove, SpiffeSubject, map::even_slots,
};
use holdfast_keys::{labels, sign_value};
use holdfast_proto::{
    error_details::Details,
    module::v1::Route,
    node::v1::{NewestMapReply, NewestMapRequest, maps_server},
};
use tonic::{Request, Response, Status};

use super::{Fake, Fault, State, refusal, refusal_with, row};

/// The first node.
pub(crate) const FIRST: NodeId = NodeId::new([0x11; 16]);

/// Others.
pub(crate) const fn node(number: u8) -> NodeId {
    NodeId::new([number; 16])
}

/// One node.
#[derive(Clone)]
pub(crate) struct FakeNode {
    pub(super) node: NodeId,
    pub(super) address: String,
    pub(super) group: GroupId,
}

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

impl Fake {
    /// One more node, with a replica of one group.
    pub(crate) async fn add_node(&self, node: NodeId, group: GroupId) {
        let address = self.listen(SpiffeSubject::Node(node)).await;
        self.state().nodes.push(FakeNode { node, address, group });
    }

    /// Nobody listens there any more.
    pub(crate) async fn kill(&self, node: NodeId) {
        let address = self.state().nodes.iter().find(|of| of.node == node).unwrap().address.clone();
        self.stop(&address).await;
    }

    pub(super) fn map(&self) -> Signed<ShardMap> {
        let map = self.state().map(self.inner.founded.trust().cluster());
        sign_value(&self.inner.founded.map_signer, labels::SHARD_MAP, &map).unwrap()
    }

    /// Notes a call of a module, checks its caller and route, and fails it when that is wanted or the replica cannot serve it.
    pub(super) async fn enter<T>(
        &self,
        name: &'static str,
        kind: Kind,
        request: &Request<T>,
        route: Option<Route>,
    ) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.identity.clone());
        peer.and_then(|identity| identity.home).ok_or_else(|| refusal(Reason::Unauthenticated))?;
        let route = route.ok_or_else(|| refusal(Reason::Malformed))?;
        if self.note(name, &route)? == Some(Fault::Hang) {
            std::future::pending::<()>().await;
        }
        let newest = self.state().epoch;
        let large = self.state().map_is_large;
        if route.map_epoch < newest {
            let (map_epoch, map) = (Some(MapEpoch(newest)), (!large).then(|| self.map()));
            return Err(refusal_with(Reason::StaleMap, Details { map_epoch, map, ..Details::default() }));
        }
        self.state().serves(self.at, kind, &route)
    }

    fn note(&self, name: &'static str, route: &Route) -> Result<Option<Fault>, Status> {
        let mut state = self.state();
        state.calls.push(name);
        state.asked.push(self.at);
        state.commands.push(route.command_id.to_vec());
        state.staleness.push(route.max_staleness_ms);
        state.homes.push(route.home.as_ref().map(|home| home.try_into().unwrap()));
        let fault = state.faults.front().cloned();
        match &fault {
            Some(Fault::Refuse(_) | Fault::Hang) => drop(state.faults.pop_front()),
            Some(Fault::StaleMap) => {
                state.faults.pop_front();
                state.epoch += 1;
            }
            _ => {}
        }
        if let Some(Fault::Refuse(reason)) = fault { Err(refusal(reason)) } else { Ok(fault) }
    }
}

impl State {
    fn serves(&self, at: NodeId, kind: Kind, route: &Route) -> Result<(), Status> {
        let group = self.nodes.iter().find(|node| node.node == at).unwrap().group;
        if route.group != group.0 {
            return Err(refusal(Reason::WrongGroup));
        }
        if self.serving != group {
            let coming = self.mapped == group;
            return Err(refusal(if coming { Reason::NotReady } else { Reason::WrongGroup }));
        }
        match (kind, self.leads.get(&group)) {
            (Kind::Read, None) if route.max_staleness_ms > 0 => Ok(()),
            (_, None) => Err(refusal(Reason::NoQuorum)),
            (Kind::Write, Some(leader)) if *leader != at => {
                let details = Details { leader: Some(*leader), ..Details::default() };
                Err(refusal_with(Reason::NotLeader, details))
            }
            _ => Ok(()),
        }
    }

    fn map(&self, cluster: holdfast_domain::ClusterId) -> ShardMap {
        let mut groups: Vec<GroupDescriptor> = Vec::new();
        for (number, FakeNode { node, address, group }) in (1..).zip(&self.nodes) {
            let (node, address) = (*node, address.clone());
            let replica =
                ReplicaDescriptor { replica: ReplicaId(number), node, address, state: ReplicaState::Voter };
            if let Some(known) = groups.iter_mut().find(|known| known.group == *group) {
                known.replicas.push(replica);
                continue;
            }
            let slots = if *group == self.mapped { vec![even_slots(0, 1).unwrap()] } else { vec![] };
            groups.push(GroupDescriptor {
                group: *group,
                epoch: ShardEpoch(1),
                slots,
                replicas: vec![replica],
            });
        }
        let moves = self.moving_to.into_iter().map(|to| SlotMove {
            since: MapEpoch(1),
            from: self.mapped,
            to,
            slots: vec![even_slots(0, 1).unwrap()],
            give_up: false,
        });
        let (lineage, epoch, moves) = (Lineage(0), MapEpoch(self.epoch), moves.collect());
        ShardMap { cluster, lineage, epoch, groups, moves }
    }
}

#[tonic::async_trait]
impl maps_server::Maps for Fake {
    async fn newest(&self, request: Request<NewestMapRequest>) -> Result<Response<NewestMapReply>, Status> {
        self.state().calls.push("newest");
        let newer = request.into_inner().known_epoch < self.state().epoch;
        Ok(Response::new(NewestMapReply { map: newer.then(|| row(&self.map())) }))
    }
}
