//! Replicas and slots that go elsewhere.

use std::time::Duration;

use anyhow::{Context as _, bail};
use holdfast_proto::registry::v1::NodeStanding;

use crate::{chaos::Stage, cluster::Role, wait};

/// How long something that was ordered may take under faults.
const DONE: Duration = Duration::from_secs(90);

pub(super) fn drain(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    stage.say(&format!("node-{} is drained", at + 1));
    stage.cluster.order_standing(at, NodeStanding::Draining)?;
    let drained = wait::until(DONE, "an empty node", || {
        let rows = stage.cluster.group_rows()?;
        if rows.iter().any(|row| row.is_on(at)) { bail!("{rows:?}") } else { Ok(Some(())) }
    });
    stage.cluster.order_standing(at, NodeStanding::Serving)?;
    drained
}

pub(super) fn move_replica(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let row = stage.cluster.group_row(group)?;
    let from = row.replicas.get(stage.draw.index(row.replicas.len()));
    let from = from.and_then(|replica| replica.node).context("no replica")?;
    let free: Vec<usize> = (0..stage.cluster.nodes.len()).filter(|node| !row.is_on(*node)).collect();
    let to = *free.get(stage.draw.index(free.len())).context("no free node")?;
    stage.say(&format!("group {group} moves from node-{} to node-{}", from + 1, to + 1));
    stage.cluster.order_move(group, from, to)?;
    kill_some_node(stage)?;
    wait::until(DONE, "a replica that has moved", || {
        let row = stage.cluster.group_row(group)?;
        if row.is_on(to) && !row.is_on(from) { Ok(Some(())) } else { bail!("{row:?}") }
    })
}

fn kill_some_node(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    let wait = Duration::from_millis(stage.draw.below(1_500));
    stage.rest(wait)?;
    stage.say(&format!("node-{} is killed", at + 1));
    stage.kill(Role::Node, at)?;
    stage.start(Role::Node, at)
}

pub(super) fn split_merge(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let new = stage.cluster.order_split(group)?;
    stage.say(&format!("half of group {group} goes to group {new}"));
    kill_some_node(stage)?;
    wait::until(DONE, "a new group with slots", || {
        let row = stage.cluster.group_row(new)?;
        Ok((!row.is_empty() && row.is_healthy(stage.plan.replicas)).then_some(()))
    })?;
    stage.say(&format!("group {new} goes back to group {group}"));
    stage.cluster.order_merge(new, group)?;
    kill_some_node(stage)?;
    wait::until(DONE, "the end of the new group", || {
        let rows = stage.cluster.group_rows()?;
        Ok((!rows.iter().any(|row| row.group == new)).then_some(()))
    })
}
