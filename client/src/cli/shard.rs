//! `holdfast shard`: groups of replicas that serve slots.

use std::time::{Duration, Instant};

use clap::Subcommand;
use holdfast_domain::{GroupId, NodeId};
use serde_json::json;

use super::{app::App, failure::Failure, node::node_of, table::Table, units::parse_span};
use crate::{
    Operator,
    operator::{GroupRow, ReplicaRow},
};

/// Between two looks at a group.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the shard groups
    List,
    /// Create groups, spread evenly over the serving nodes
    #[command(after_help = "Example:\n  holdfast shard create 8 --wait")]
    Create {
        /// How many
        #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
        count: u32,
        #[command(flatten)]
        wait: Wait,
    },
    /// Move a group's replica to another node, while it serves
    #[command(after_help = "Example:\n  holdfast shard move 3 --to 4f1e --wait")]
    Move {
        /// The group
        group: GroupId,
        /// The node, by its id or the beginning of it
        #[arg(long, value_name = "NODE")]
        to: String,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    /// Wait until it is done
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = parse_span)]
    wait_for: Duration,
}

pub(super) async fn run(app: &App, command: Command) -> Result<(), Failure> {
    let operator = app.operator().await?;
    match command {
        Command::List => list(app, &operator.groups().await?),
        Command::Create { count, wait } => {
            let groups = operator.create_groups(count).await?;
            wait.until(&operator, |rows| groups.iter().all(|id| is_ready(rows, *id))).await?;
            let ids: Vec<_> = groups.iter().map(ToString::to_string).collect();
            app.output.print(
                || format!("Groups {}.\n", ids.join(", ")),
                || json!({ "groups": groups.iter().map(|id| id.0).collect::<Vec<_>>() }),
            )
        }
        Command::Move { group, to, wait } => {
            let target = node_of(&operator, &to).await?;
            let epoch = operator.move_group(group, target).await?;
            wait.until(&operator, |rows| is_on(rows, group, target)).await?;
            let state = if wait.wait { "is on" } else { "moves to" };
            app.output.print(
                || format!("Group {group} {state} node {target} (map epoch {epoch}).\n"),
                || json!({ "group": group.0, "target": target.to_string(), "map_epoch": epoch.0 }),
            )
        }
    }
}

impl Wait {
    async fn until(&self, operator: &Operator, done: impl Fn(&[GroupRow]) -> bool) -> Result<(), Failure> {
        let began = Instant::now();
        while self.wait && !done(&operator.groups().await?) {
            if began.elapsed() > self.wait_for {
                let waited = self.wait_for.as_secs();
                return Err(Failure::NotYet(format!(
                    "not done after {waited} s; it goes on: see `holdfast shard list`"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

fn is_ready(rows: &[GroupRow], group: GroupId) -> bool {
    rows.iter().any(|row| row.group == group && row.state == "ready")
}

fn is_on(rows: &[GroupRow], group: GroupId, target: NodeId) -> bool {
    let on_target = |row: &GroupRow| row.replicas.iter().any(|replica| replica.node == target);
    is_ready(rows, group) && rows.iter().any(|row| row.group == group && on_target(row))
}

fn list(app: &App, rows: &[GroupRow]) -> Result<(), Failure> {
    let human = || {
        let mut table = Table::new(&["GROUP>", "STATE", "SLOTS>", "EPOCH>", "KEY>", "REPLICAS"]);
        for row in rows {
            let replicas: Vec<_> =
                row.replicas.iter().map(|replica| format!("{} {}", replica.node, replica.state)).collect();
            table.row([
                row.group.to_string(),
                row.state.clone(),
                row.slots.to_string(),
                row.epoch.to_string(),
                row.key_generation.to_string(),
                replicas.join(", "),
            ]);
        }
        table.render()
    };
    let one = |row: &GroupRow| {
        let GroupRow { group, epoch, slots, replicas, state, key_generation } = row;
        let replica = |replica: &ReplicaRow| {
            let ReplicaRow { replica, node, address, state } = replica;
            json!({ "replica": replica.0, "node": node.to_string(), "address": address, "state": state })
        };
        json!({
            "group": group.0, "epoch": epoch.0, "slots": slots, "state": state, "key_generation": key_generation,
            "replicas": replicas.iter().map(replica).collect::<Vec<_>>(),
        })
    };
    app.output.print(human, || json!({ "groups": rows.iter().map(one).collect::<Vec<_>>() }))
}
