//! What of all that was said is worth a commit: transitions only, and log positions that grew.

use std::time::{Duration, Instant};

use holdfast_domain::{NodeId, NodeRole, ReplicaState};
use holdfast_registry_state::{Act, FloorRow, Standing, StandingChange, State, limits::MAX_FLOORS_A_COMMAND};

use super::{Health, Heard};
use crate::limits::ALIVE;

impl Health {
    /// What nodes' words and silence change. `leading_since`: silence counts from then on at the earliest, for whoever leads anew has
    /// heard of nobody yet.
    pub fn acts(
        &self,
        state: &State,
        now: Instant,
        leading_since: Instant,
        lost_after: Duration,
    ) -> Vec<Act> {
        let nodes = self.nodes();
        let members = state.members().filter(|(_, member)| member.role == NodeRole::Node);
        members
            .flat_map(|(node, _)| {
                let heard = nodes.get(&node);
                let described = heard.and_then(|(_, heard)| described(state, node, heard));
                let last = heard.map_or(leading_since, |(at, _)| leading_since.max(*at));
                let alive = heard.is_some_and(|(at, _)| now.saturating_duration_since(*at) <= ALIVE);
                let silent = now.saturating_duration_since(last) >= lost_after;
                [described, standing(state, node, alive, silent)]
            })
            .flatten()
            .collect()
    }

    /// Log positions that grew since they were written down last.
    pub fn floors(&self, state: &State) -> Option<Act> {
        let nodes = self.nodes();
        let groups = state.map().into_iter().flat_map(|(_, map)| &map.groups);
        let rows = groups.flat_map(|group| group.replicas.iter().map(|replica| (group.group, replica)));
        let rows = rows.filter_map(|(group, replica)| {
            let told = nodes.get(&replica.node)?.1.replicas.get(&(group, replica.replica))?;
            // Of a replica that says itself that something is wrong with it, nothing counts.
            let floor = (told.term, told.last_log);
            let sound = told.fault.is_empty() && replica.state != ReplicaState::Founding;
            let grew = state.floor(group, replica.replica).is_none_or(|known| floor > known);
            (sound && grew).then_some(FloorRow { group, replica: replica.replica, floor })
        });
        let rows: Vec<_> = rows.take(MAX_FLOORS_A_COMMAND).collect();
        if rows.is_empty() { None } else { Some(Act::Floors(rows)) }
    }
}

fn described(state: &State, node: NodeId, heard: &Heard) -> Option<Act> {
    let known = state.node_use(node);
    let same = (&known.zone, known.demands_hardware) == (&heard.zone, heard.demands_hardware);
    let (zone, demands_hardware) = (heard.zone.clone(), heard.demands_hardware);
    (!same).then_some(Act::Describe { node, zone, demands_hardware })
}

fn standing(state: &State, node: NodeId, alive: bool, silent: bool) -> Option<Act> {
    let known = state.node_use(node);
    let change = match (known.lost, alive, silent) {
        (true, true, _) => StandingChange::Returned,
        (false, false, true) if known.standing != Standing::Removed => StandingChange::Lost,
        _ => return None,
    };
    Some(Act::Standing { node, change })
}
