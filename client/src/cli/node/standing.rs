//! What a node is used for: cordon, uncordon, drain, remove.

use holdfast_domain::NodeId;
use serde_json::json;

use super::node_of;
use crate::{
    Operator,
    cli::{
        app::App,
        failure::Failure,
        shard::done::{going, is_settled},
        wait::{Far, Wait},
    },
    operator::{GroupRow, Standing},
};

pub(super) async fn set(
    app: &App,
    operator: &Operator,
    node: &str,
    standing: Standing,
) -> Result<(), Failure> {
    let node = node_of(operator, node).await?;
    let replicas = operator.set_standing(node, standing, false).await?;
    let text = match standing {
        Standing::Serving => format!("Node {node} is used again.\n"),
        _ => format!("Node {node} gets nothing new and keeps its {replicas} replicas.\n"),
    };
    told(app, node, standing, replicas, text)
}

pub(super) async fn drain(
    app: &App,
    operator: &Operator,
    node: &str,
    lost: bool,
    wait: &Wait,
) -> Result<(), Failure> {
    let node = node_of(operator, node).await?;
    let mut replicas = operator.set_standing(node, Standing::Draining, lost).await?;
    if wait.wait {
        empty(operator, node, wait).await?;
        replicas = 0;
    }
    let text = match replicas {
        0 => format!("Nothing is left on node {node}.\n"),
        left => format!("{left} replicas move off node {node}; see `holdfast shard list`.\n"),
    };
    told(app, node, Standing::Draining, replicas, text)
}

pub(super) async fn remove(
    app: &App,
    operator: &Operator,
    node: &str,
    lost: bool,
    wait: &Wait,
) -> Result<(), Failure> {
    let node = node_of(operator, node).await?;
    if is_removed(operator, node).await? {
        return told(app, node, Standing::Removed, 0, format!("Node {node} is removed.\n"));
    }
    let left = operator.set_standing(node, Standing::Draining, lost).await?;
    if left > 0 && !wait.wait {
        return Err(Failure::NotYet(format!(
            "{left} replicas are still on node {node} and move off it now: ask again later, or with --wait"
        )));
    }
    empty(operator, node, wait).await?;
    operator.set_standing(node, Standing::Removed, false).await?;
    told(app, node, Standing::Removed, 0, format!("Node {node} is removed.\n"))
}

async fn is_removed(operator: &Operator, node: NodeId) -> Result<bool, Failure> {
    let rows = operator.nodes().await?;
    Ok(rows.iter().any(|row| row.node == node && row.standing == "removed"))
}

/// Waits until nothing is left on the node.
async fn empty(operator: &Operator, node: NodeId, wait: &Wait) -> Result<(), Failure> {
    let all = on(&operator.groups().await?, node).len();
    let look = async || Ok(far(&operator.groups().await?, node, all));
    wait.until(&format!("node {node}"), look).await
}

fn on(groups: &[GroupRow], node: NodeId) -> Vec<&GroupRow> {
    groups.iter().filter(|row| row.on(node).is_some()).collect()
}

fn far(groups: &[GroupRow], node: NodeId, all: usize) -> Far {
    let left = on(groups, node);
    let busy = left.iter().find(|row| !is_settled(row));
    let gone = all.saturating_sub(left.len());
    match (left.first(), busy) {
        (None, _) => Far::Done,
        (Some(_), Some(row)) => Far::Going(format!("{gone} of {all} replicas gone; {}", going(row))),
        (Some(row), None) => Far::Going(format!(
            "{gone} of {all} replicas gone; group {} waits for another node that takes replicas",
            row.group
        )),
    }
}

fn told(app: &App, node: NodeId, standing: Standing, replicas: u32, text: String) -> Result<(), Failure> {
    let name = match standing {
        Standing::Serving => "serving",
        Standing::Cordoned => "cordoned",
        Standing::Draining => "draining",
        Standing::Removed => "removed",
    };
    app.output.print(|| text, || json!({ "node": node.to_string(), "standing": name, "replicas": replicas }))
}
