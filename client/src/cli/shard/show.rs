//! Groups for people and for programs.

use holdfast_domain::{GroupId, Slot};
use serde_json::{Value, json};

use super::done::{copied, going, is_settled};
use crate::{
    cli::{
        app::App,
        failure::Failure,
        table::{Table, facts},
        units::{show_ago, show_size},
    },
    operator::{GroupRow, ReplicaRow, Shards, SlotMoveRow},
};

pub(super) fn list(app: &App, shards: &Shards) -> Result<(), Failure> {
    let human = || {
        let mut table = Table::new(&["GROUP>", "STATE", "SLOTS>", "REPLICAS>", "SIZE>", "LEADER", "NODES"]);
        for row in &shards.groups {
            let nodes: Vec<_> = row.replicas.iter().map(named).collect();
            table.row([
                row.group.to_string(),
                row.state.clone(),
                row.slots.to_string(),
                format!("{}/{}", voters(row), row.wanted),
                show_size(row.bytes()),
                row.leader.map_or_else(|| "-".to_owned(), |node| node.to_string()),
                nodes.join(", "),
            ]);
        }
        let mut text = table.render();
        shards.slot_moves.iter().for_each(|row| text.push_str(&format!("{}\n", sentence(row))));
        text
    };
    app.output.print(human, || {
        let groups: Vec<_> = shards.groups.iter().map(group_json).collect();
        let moves: Vec<_> = shards.slot_moves.iter().map(slot_move_json).collect();
        json!({ "groups": groups, "slot_moves": moves })
    })
}

pub(super) fn one(app: &App, shards: &Shards, group: GroupId) -> Result<(), Failure> {
    let none = || Failure::Usage(format!("there is no group {group}: see `holdfast shard list`"));
    let row = shards.groups.iter().find(|row| row.group == group).ok_or_else(none)?;
    let moves: Vec<_> = shards.slot_moves.iter().filter(|of| of.from == group || of.to == group).collect();
    let human = || {
        let mut text = facts(&[
            ("group", row.group.to_string()),
            ("state", if is_settled(row) { row.state.clone() } else { going(row) }),
            ("slots", format!("{} ({})", ranges(&row.ranges), row.slots)),
            ("replicas", format!("{} of {}", voters(row), row.wanted)),
            ("size", show_size(row.bytes())),
            (
                "key",
                format!(
                    "generation {}{}",
                    row.key_generation,
                    if row.rotating { ", being replaced" } else { "" }
                ),
            ),
            ("epoch", row.epoch.to_string()),
        ]);
        moves.iter().for_each(|of| text.push_str(&format!("{}\n", sentence(of))));
        text.push('\n');
        let mut table = Table::new(&[
            "REPLICA>", "NODE", "ADDRESS", "STATE", "APPLIED>", "LAG>", "RECORDS>", "SIZE>", "HEARD", "FAULT",
        ]);
        for replica in &row.replicas {
            table.row([
                replica.replica.to_string(),
                replica.node.to_string(),
                replica.address.clone(),
                format!("{}{}", replica.state, if row.leader == Some(replica.node) { ", leads" } else { "" }),
                replica.applied.to_string(),
                replica.lag.to_string(),
                replica.records.to_string(),
                show_size(replica.bytes()),
                show_ago(replica.heard),
                fault(replica),
            ]);
        }
        text + &table.render()
    };
    app.output.print(human, || {
        let moves: Vec<_> = moves.iter().map(|of| slot_move_json(of)).collect();
        json!({ "group": group_json(row), "slot_moves": moves })
    })
}

fn voters(row: &GroupRow) -> usize {
    row.replicas.iter().filter(|replica| replica.state == "voter").count()
}

fn named(replica: &ReplicaRow) -> String {
    let mut text = replica.node.to_string();
    if replica.state != "voter" {
        text.push_str(&format!(" {}", replica.state));
    }
    if !replica.fault.is_empty() {
        text.push_str(&format!(" {}", replica.fault));
    }
    text
}

fn fault(replica: &ReplicaRow) -> String {
    match (replica.fault.is_empty(), replica.missing_chunks) {
        (false, _) => replica.fault.clone(),
        (true, 0) => String::new(),
        (true, chunks) => format!("{chunks} chunks missing"),
    }
}

fn sentence(row: &SlotMoveRow) -> String {
    format!("Slots {} move from group {} to group {}: {}", ranges(&row.slots), row.from, row.to, copied(row))
}

fn ranges(ranges: &[(Slot, Slot)]) -> String {
    let range = |(first, last): &(Slot, Slot)| match first == last {
        true => first.number().to_string(),
        false => format!("{}-{}", first.number(), last.number()),
    };
    if ranges.is_empty() {
        "none".to_owned()
    } else {
        ranges.iter().map(range).collect::<Vec<_>>().join(", ")
    }
}

fn ranges_json(ranges: &[(Slot, Slot)]) -> Value {
    ranges.iter().map(|(first, last)| json!([first.number(), last.number()])).collect()
}

fn group_json(row: &GroupRow) -> Value {
    let GroupRow { group, epoch, slots, ranges, replicas, wanted, state, key_generation, rotating, leader } =
        row;
    json!({
        "group": group.0, "epoch": epoch.0, "slots": slots, "ranges": ranges_json(ranges), "state": state,
        "wanted": wanted, "key_generation": key_generation, "rotating": rotating,
        "leader": leader.map(|node| node.to_string()), "bytes": row.bytes(),
        "replicas": replicas.iter().map(replica_json).collect::<Vec<_>>(),
    })
}

fn replica_json(row: &ReplicaRow) -> Value {
    let ReplicaRow {
        replica,
        node,
        address,
        state,
        leads,
        term,
        last_log,
        applied,
        lag,
        records,
        stored_bytes,
        chunk_bytes,
        missing_chunks,
        fault,
        heard,
        replaces,
    } = row;
    json!({
        "replica": replica.0, "node": node.to_string(), "address": address, "state": state, "leads": leads,
        "term": term, "last_log": last_log, "applied": applied, "lag": lag, "records": records,
        "stored_bytes": stored_bytes, "chunk_bytes": chunk_bytes, "missing_chunks": missing_chunks,
        "fault": fault, "heard_ms_ago": heard.map(|heard| heard.as_millis()),
        "replaces": replaces.map(|replica| replica.0),
    })
}

fn slot_move_json(row: &SlotMoveRow) -> Value {
    let SlotMoveRow { since, from, to, slots, give_up, rows, rows_expected, behind } = row;
    json!({
        "since": since.map(|since| since.0), "from": from.0, "to": to.0, "slots": ranges_json(slots), "give_up": give_up, "rows": rows,
        "rows_expected": rows_expected, "behind": behind,
    })
}
