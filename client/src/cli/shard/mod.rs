//! `holdfast shard`: groups of replicas that serve slots.

pub(super) mod done;
mod show;

use clap::Subcommand;
use holdfast_domain::{GroupId, NodeId, Slot};
use serde_json::json;

use super::{
    app::App,
    failure::Failure,
    node::{node_of, takes_replicas},
    output::remark,
    wait::{Far, Wait},
};
use crate::{
    Operator,
    operator::{GroupRow, PlannedMove, Shards},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the shard groups, and the slots that move between them
    List,
    /// Show one group: its replicas, how far each is, what is under way
    #[command(after_help = "Example:\n  holdfast shard show 3")]
    Show {
        /// The group
        group: GroupId,
    },
    /// Create the cluster's groups, spread evenly over the nodes and their zones
    ///
    /// Once for a cluster; later more groups come from `holdfast shard split`. Asking again for the same is fine.
    #[command(after_help = "\
Examples:
  holdfast shard create 8 --wait
  holdfast shard create 1 --replicas 1     a cluster of one node, which nothing survives")]
    Create {
        /// How many: two or three for each node are plenty
        #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
        count: u32,
        /// Replicas of each group, every one on another node: 3 outlive one node, 5 outlive two
        #[arg(long, value_name = "1|3|5", default_value = "3", value_parser = replicas)]
        replicas: u32,
        #[command(flatten)]
        wait: Wait,
    },
    /// Move a replica of a group to another node, while the group serves
    ///
    /// The newcomer gets the keys from a current replica, which checks its evidence itself; it copies the data, votes, and only then the old
    /// replica goes.
    #[command(after_help = "\
Examples:
  holdfast shard move 3 --from 4f1e --to 77b0 --wait
  holdfast shard move 3 --to 77b0              a group of one replica")]
    Move {
        /// The group
        group: GroupId,
        /// The node that has the replica now, by its id or the beginning of it; not needed for a group of one
        #[arg(long, value_name = "NODE")]
        from: Option<String>,
        /// The node that is to have it
        #[arg(long, value_name = "NODE")]
        to: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give up what is under way in a group: newcomers leave again
    #[command(after_help = "Example:\n  holdfast shard cancel 3 --wait")]
    Cancel {
        /// The group
        group: GroupId,
        #[command(flatten)]
        wait: Wait,
    },
    /// Even out replicas and bytes over the nodes
    #[command(
        after_help = "Examples:\n  holdfast shard rebalance --dry-run\n  holdfast shard rebalance --wait"
    )]
    Rebalance {
        /// Only say what would move
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Move slots of a group to a new one, while both serve
    ///
    /// Each home is paused for a fraction of a second when its slot changes hands. Asking again while it goes on tells of it.
    #[command(after_help = "\
Examples:
  holdfast shard split 3 --wait                the upper half of its slots
  holdfast shard split 3 --slots 100-199 --slots 300")]
    Split {
        /// The group
        group: GroupId,
        /// Which slots go, `FIRST-LAST` or one number; may be repeated
        #[arg(long, value_name = "SLOTS", value_parser = slots)]
        slots: Vec<(Slot, Slot)>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Move all slots of a group to another one, and retire it
    #[command(after_help = "Example:\n  holdfast shard merge 9 --into 3 --wait")]
    Merge {
        /// The group that goes
        group: GroupId,
        /// The group that stays
        #[arg(long, value_name = "GROUP")]
        into: GroupId,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give up a split or a merge that is under way
    ///
    /// The slots stay where they are, unless the other group has taken them over already.
    #[command(after_help = "Example:\n  holdfast shard give-up 3 --wait")]
    GiveUp {
        /// The group that the slots would leave
        group: GroupId,
        #[command(flatten)]
        wait: Wait,
    },
}

pub(super) async fn run(app: &App, command: Command) -> Result<(), Failure> {
    let operator = app.operator().await?;
    match command {
        Command::List => show::list(app, &operator.shards().await?),
        Command::Show { group } => show::one(app, &operator.shards().await?, group),
        Command::Create { count, replicas, wait } => create(app, &operator, count, replicas, &wait).await,
        Command::Move { group, from, to, wait } => {
            let from = match from {
                Some(from) => Some(node_of(&operator, &from).await?),
                None => only_replica(&operator, group).await?,
            };
            let target = node_of(&operator, &to).await?;
            let epoch = operator.move_replica(group, from, target).await?;
            let look = async || Ok(done::moved(&operator.shards().await?, group, from, target));
            wait.until(&format!("group {group} to node {target}"), look).await?;
            let state = if wait.wait { "is on" } else { "moves to" };
            app.output.print(
                || format!("Group {group} {state} node {target} (map epoch {epoch}).\n"),
                || json!({ "group": group.0, "target": target.to_string(), "map_epoch": epoch.0 }),
            )
        }
        Command::Cancel { group, wait } => {
            let epoch = operator.cancel_move(group).await?;
            let look = async || Ok(done::settled(&operator.shards().await?, &[group]));
            wait.until(&format!("group {group}"), look).await?;
            app.output.print(
                || format!("Group {group} stays as it was (map epoch {epoch}).\n"),
                || json!({ "group": group.0, "map_epoch": epoch.0 }),
            )
        }
        Command::Rebalance { dry_run, wait } => rebalance(app, &operator, dry_run, &wait).await,
        Command::Split { group, slots, wait } => {
            let to = operator.split(group, &slots).await?;
            let look = async || Ok(done::slots_moved(&operator.shards().await?, group, to));
            wait.until(&format!("slots of group {group} to group {to}"), look).await?;
            let state = if wait.wait { "has" } else { "gets" };
            app.output.print(
                || format!("Group {to} {state} slots of group {group}.\n"),
                || json!({ "group": group.0, "to": to.0 }),
            )
        }
        Command::Merge { group, into, wait } => {
            let epoch = operator.merge(group, into).await?;
            let look = async || Ok(done::merged(&operator.shards().await?, group, into));
            wait.until(&format!("group {group} into group {into}"), look).await?;
            let state = if wait.wait { "has" } else { "gets" };
            app.output.print(
                || format!("Group {into} {state} all slots of group {group} (map epoch {epoch}).\n"),
                || json!({ "group": group.0, "into": into.0, "map_epoch": epoch.0 }),
            )
        }
        Command::GiveUp { group, wait } => give_up(app, &operator, group, &wait).await,
    }
}

async fn create(
    app: &App,
    operator: &Operator,
    count: u32,
    replicas: u32,
    wait: &Wait,
) -> Result<(), Failure> {
    let there = operator.groups().await?;
    let groups = if there.is_empty() {
        let nodes = operator.nodes().await?.iter().filter(|row| takes_replicas(row)).count();
        if u32::try_from(nodes).is_ok_and(|nodes| nodes < replicas) {
            return Err(Failure::Usage(format!(
                "{replicas} replicas need as many nodes, and {nodes} take any: join more (`holdfast ticket new`), \
                 uncordon some (`holdfast node list`), or choose --replicas"
            )));
        }
        operator.create_groups(count, replicas).await?
    } else {
        the_same(&there, count, replicas)?
    };
    let look = async || Ok(done::settled(&operator.shards().await?, &groups));
    wait.until(&format!("{count} groups"), look).await?;
    let ids: Vec<_> = groups.iter().map(ToString::to_string).collect();
    app.output.print(
        || format!("Groups {}.\n", ids.join(", ")),
        || json!({ "groups": groups.iter().map(|id| id.0).collect::<Vec<_>>() }),
    )
}

/// The groups that are there, if they are what was asked for.
fn the_same(there: &[GroupRow], count: u32, replicas: u32) -> Result<Vec<GroupId>, Failure> {
    let as_many = u32::try_from(there.len()) == Ok(count);
    if as_many && there.iter().all(|row| row.wanted == replicas) {
        return Ok(there.iter().map(|row| row.group).collect());
    }
    Err(Failure::Usage(format!(
        "the cluster has {} groups already (`holdfast shard list`): more come from `holdfast shard split`, fewer from \
         `holdfast shard merge`",
        there.len()
    )))
}

/// The node of a group's only replica; `None` leaves it to the cluster to refuse.
async fn only_replica(operator: &Operator, group: GroupId) -> Result<Option<NodeId>, Failure> {
    let groups = operator.groups().await?;
    let Some(row) = groups.iter().find(|row| row.group == group) else { return Ok(None) };
    if row.wanted > 1 {
        let nodes: Vec<_> = row.replicas.iter().map(|replica| replica.node.to_string()).collect();
        return Err(Failure::Usage(format!(
            "group {group} has several replicas: say which one moves, --from one of {}",
            nodes.join(", ")
        )));
    }
    Ok(None)
}

async fn rebalance(app: &App, operator: &Operator, dry_run: bool, wait: &Wait) -> Result<(), Failure> {
    let moves = operator.rebalance(dry_run).await?;
    if !dry_run {
        let groups: Vec<_> = moves.iter().map(|planned| planned.group).collect();
        let look = async || {
            let settled = done::settled(&operator.shards().await?, &groups);
            if settled != Far::Done {
                return Ok(settled);
            }
            let left = operator.rebalance(true).await?.len();
            // What began just now is not in what is left.
            Ok(done::evened_out(&operator.shards().await?, &groups, left))
        };
        wait.until("rebalancing", look).await?;
    }
    let line = |planned: &PlannedMove| {
        let PlannedMove { group, from, target } = planned;
        format!("Group {group}: node {from} to node {target}\n")
    };
    let human = || match moves.is_empty() {
        true => "Nothing to move.\n".to_owned(),
        false => moves.iter().map(line).collect(),
    };
    let one = |planned: &PlannedMove| {
        let PlannedMove { group, from, target } = planned;
        json!({ "group": group.0, "from": from.to_string(), "target": target.to_string() })
    };
    app.output
        .print(human, || json!({ "dry_run": dry_run, "moves": moves.iter().map(one).collect::<Vec<_>>() }))
}

async fn give_up(app: &App, operator: &Operator, group: GroupId, wait: &Wait) -> Result<(), Failure> {
    let to = of_move(&operator.shards().await?, group);
    if to.is_none() {
        remark(&format!("No slots leave group {group}."));
    }
    let epoch = operator.give_up_slot_move(group).await?;
    let look = async || Ok(done::no_slots_move(&operator.shards().await?, group));
    wait.until(&format!("slots of group {group}"), look).await?;
    app.output.print(
        || format!("The slots of group {group} stay, if they can (map epoch {epoch}).\n"),
        || json!({ "group": group.0, "to": to.map(|to| to.0), "map_epoch": epoch.0 }),
    )
}

fn of_move(shards: &Shards, from: GroupId) -> Option<GroupId> {
    shards.slot_moves.iter().find(|row| row.from == from).map(|row| row.to)
}

fn replicas(text: &str) -> Result<u32, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a group has 1, 3 or 5 replicas".to_owned()),
    }
}

/// `100-199` or `300`.
fn slots(text: &str) -> Result<(Slot, Slot), String> {
    let slot = |text: &str| {
        let number = text.trim().parse::<u16>().ok().and_then(|number| Slot::try_from(number).ok());
        number.ok_or_else(|| format!("{text:?} is no slot: they are numbered from 0 to {}", Slot::COUNT - 1))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (slot(first)?, slot(last)?);
    if first > last {
        return Err(format!("{text:?} ends before it begins"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_read_as_ranges_or_single_numbers() {
        let slot = |number| Slot::try_from(number).unwrap();
        assert_eq!(slots("100-199"), Ok((slot(100), slot(199))));
        assert_eq!(slots("7"), Ok((slot(7), slot(7))));
        for bad in ["", "x", "9-3", "4096", "1-4096", "-1", "1-2-3"] {
            assert!(slots(bad).is_err(), "{bad}");
        }
    }
}
