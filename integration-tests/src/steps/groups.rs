//! Step 4: shard groups, where they are, and moving them.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use super::files;
use crate::{
    cluster::{Cluster, operator::GroupRow},
    job::Job,
    report::{Progress, seconds},
};

/// Creates the groups and checks that they are spread evenly and have keys.
///
/// # Errors
/// They are not.
pub fn create_groups(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let groups = job.cluster.create_groups(job.pace.groups)?;
    ensure!(groups.len() == usize::try_from(job.pace.groups)?, "{} groups", groups.len());
    ensure!(groups.iter().all(|group| group.key_generation > 0), "a group has no key");
    let mut load: Vec<_> = load(&job.cluster, &groups).into_values().collect();
    load.sort_unstable_by(|a, b| b.cmp(a));
    let (most, least) = (load.first().copied().unwrap_or(0), load.last().copied().unwrap_or(0));
    ensure!(most - least <= 1, "groups are spread as {load:?}");
    Ok(format!("{} groups ready, {load:?} a node", groups.len()))
}

/// Moves a group that holds nothing yet.
///
/// # Errors
/// It does not arrive.
pub fn move_empty_group(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let group = job.cluster.groups()?.first().context("no group")?.group;
    let (from, to) = move_somewhere(&job.cluster, group)?;
    Ok(format!("group {group} from {from} to {to}"))
}

/// Moves the group that holds the most, and reads everything in it back.
///
/// # Errors
/// It does not arrive, or a file is not what it was.
pub fn move_full_group(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let accounts: Vec<_> = job.stored.iter().map(|stored| stored.account.id).collect();
    let groups = job.cluster.groups_of(&accounts)?;
    let mut bytes: BTreeMap<u32, u64> = BTreeMap::new();
    for (group, stored) in groups.iter().zip(&job.stored) {
        *bytes.entry(*group).or_default() += stored.share.bytes();
    }
    let (&group, &size) = bytes.iter().max_by_key(|(_, bytes)| **bytes).context("no group with data")?;
    progress.say(format!("moving group {group}"));
    let started = std::time::Instant::now();
    let (from, to) = move_somewhere(&job.cluster, group)?;
    let moving = started.elapsed();
    let inside = job.stored.iter().zip(&groups).filter(|(_, of)| **of == group);
    let mut files = 0;
    for (number, (stored, _)) in inside.enumerate() {
        progress.say(format!("reading {} back", stored.account.context));
        files += files::verify_account(&job.cluster, stored, &format!("moved-{number}"))?;
    }
    let size = crate::report::bytes(size);
    job.figure("move of a group with data", format!("{size} in {}", seconds(moving)));
    Ok(format!("group {group} ({size}) from {from} to {to} in {}, {files} files read back", seconds(moving)))
}

/// Moves the replica that leads a group to the node that has the fewest replicas and none of this group; says from where to where.
///
/// # Errors
/// It does not arrive.
pub(super) fn move_somewhere(cluster: &Cluster, group: u32) -> anyhow::Result<(String, String)> {
    let groups = cluster.groups()?;
    let from = home_of(&groups, group)?;
    let row = groups.iter().find(|row| row.group == group).with_context(|| format!("no group {group}"))?;
    let load = load(cluster, &groups);
    let free = load.iter().filter(|(node, _)| row.replicas.iter().all(|replica| replica.node != **node));
    let to = free.min_by_key(|(_, replicas)| **replicas).context("no node without a replica")?.0.clone();
    let at = |id: &str| cluster.nodes.iter().position(|node| node.node.as_deref() == Some(id));
    cluster.move_replica(group, at(&from).context("no such node")?, at(&to).context("no such node")?)?;
    Ok((name(cluster, &from), name(cluster, &to)))
}

/// The node that serves a group.
///
/// # Errors
/// There is none.
pub(super) fn home_of(groups: &[GroupRow], group: u32) -> anyhow::Result<String> {
    let row = groups.iter().find(|row| row.group == group).with_context(|| format!("no group {group}"))?;
    Ok(row.home()?.to_owned())
}

fn load(cluster: &Cluster, groups: &[GroupRow]) -> BTreeMap<String, usize> {
    let nodes = cluster.nodes.iter().filter_map(|node| node.node.clone());
    let mut load: BTreeMap<_, _> = nodes.map(|node| (node, 0)).collect();
    for replica in groups.iter().flat_map(|group| &group.replicas) {
        *load.entry(replica.node.clone()).or_default() += 1;
    }
    load
}

fn name(cluster: &Cluster, node: &str) -> String {
    let server = cluster.nodes.iter().find(|server| server.node.as_deref() == Some(node));
    server.map_or_else(|| node.to_owned(), |server| server.name().to_owned())
}
