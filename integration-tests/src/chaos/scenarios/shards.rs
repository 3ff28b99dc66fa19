//! Replicas and slots that go elsewhere.

use std::{thread, time::Duration};

use anyhow::{Context as _, bail};

use crate::{chaos::Stage, cluster::Role};

/// How long an order may take under faults.
const WAIT: &str = "90s";

pub(super) fn drain(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    let node = stage.server(Role::Node, at)?.node.clone().context("no node id")?;
    stage.say(&format!("node-{} is drained", at + 1));
    let drained = stage.cluster.holdfast().ok(["node", "drain", &node, "--wait", "--wait-for", WAIT]);
    drained.context("draining")?;
    let left: Vec<_> = stage.cluster.group_rows()?.into_iter().filter(|row| row.is_on(&node)).collect();
    if !left.is_empty() {
        bail!("the drained node still has {left:?}");
    }
    stage.cluster.holdfast().ok(["node", "uncordon", &node])?;
    Ok(())
}

pub(super) fn move_replica(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let rows = stage.cluster.group_rows()?;
    let row = rows.iter().find(|row| row.group == group).context("no group")?;
    let from = row.replicas.get(stage.draw.index(row.replicas.len())).context("no replica")?.node.clone();
    let free = |node: &&String| !row.is_on(node);
    let nodes: Vec<String> = stage.cluster.nodes.iter().filter_map(|node| node.node.clone()).collect();
    let to = nodes.iter().find(free).context("no free node")?.clone();
    let victim = stage.any(Role::Node);
    stage.say(&format!("group {group} moves from {from} to {to}, node-{} is killed", victim + 1));
    let holdfast = stage.cluster.holdfast();
    holdfast.ok(["shard", "move", &group.to_string(), "--from", &from, "--to", &to])?;
    let wait = Duration::from_millis(stage.draw.below(2_000));
    stage.rest(wait)?;
    stage.kill(Role::Node, victim)?;
    stage.rest(Duration::from_millis(500))?;
    stage.start(Role::Node, victim)?;
    stage.wait_healthy()?;
    let rows = stage.cluster.group_rows()?;
    let row = rows.iter().find(|row| row.group == group).context("no group")?;
    if !row.is_on(&to) || row.is_on(&from) {
        bail!("it did not move: {row:?}");
    }
    Ok(())
}

/// Runs an order with `--wait` while nodes are killed.
fn with_kills(stage: &mut Stage, arguments: &[&str], kills: u64) -> anyhow::Result<()> {
    let holdfast = stage.cluster.holdfast();
    thread::scope(|scope| {
        let order = scope.spawn(|| holdfast.ok([arguments, &["--wait", "--wait-for", WAIT]].concat()));
        for _ in 0..kills {
            let at = stage.any(Role::Node);
            let wait = Duration::from_millis(stage.draw.below(1_500));
            stage.rest(wait)?;
            stage.say(&format!("node-{} is killed", at + 1));
            stage.kill(Role::Node, at)?;
            stage.start(Role::Node, at)?;
        }
        let done = order.join().unwrap_or_else(|_| bail!("it panicked"));
        done.map(drop).with_context(|| arguments.join(" "))
    })
}

pub(super) fn split_merge(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let before: Vec<u32> = stage.cluster.group_rows()?.iter().map(|row| row.group).collect();
    stage.say(&format!("group {group} is split"));
    with_kills(stage, &["shard", "split", &group.to_string()], 1)?;
    stage.wait_healthy()?;
    let rows = stage.cluster.group_rows()?;
    let new = rows.iter().find(|row| !before.contains(&row.group)).context("no new group")?.group;
    stage.say(&format!("group {new} is merged into {group}"));
    with_kills(stage, &["shard", "merge", &new.to_string(), &group.to_string()], 1)?;
    stage.wait_healthy()
}
