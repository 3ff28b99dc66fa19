//! What goes wrong, one function a scenario. Each ends with the fault over; that the cluster is whole again is waited for afterwards.

mod disks;
mod networks;
mod processes;
mod shards;

use super::Stage;

/// One scenario.
pub struct Scenario {
    /// Its name, for `ONLY=`.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Whether machines have to be on a network of their own.
    pub needs_network: bool,
    /// Whether no call of a client may fail in it.
    pub loses_no_call: bool,
    /// Whether a replica may hold something else for a while.
    pub damages: bool,
    /// It happens.
    pub play: fn(&mut Stage) -> anyhow::Result<()>,
}

const fn plain(
    name: &'static str,
    what: &'static str,
    play: fn(&mut Stage) -> anyhow::Result<()>,
) -> Scenario {
    Scenario { name, what, needs_network: false, loses_no_call: false, damages: false, play }
}

const fn cut(name: &'static str, what: &'static str, play: fn(&mut Stage) -> anyhow::Result<()>) -> Scenario {
    Scenario { needs_network: true, ..plain(name, what, play) }
}

const fn damage(
    name: &'static str,
    what: &'static str,
    play: fn(&mut Stage) -> anyhow::Result<()>,
) -> Scenario {
    Scenario { damages: true, ..plain(name, what, play) }
}

const fn quiet(
    name: &'static str,
    what: &'static str,
    play: fn(&mut Stage) -> anyhow::Result<()>,
) -> Scenario {
    Scenario { loses_no_call: true, ..plain(name, what, play) }
}

/// All of them, in the order of `make test`.
pub const ALL: &[Scenario] = &[
    plain("kill-node", "kill -9 of any node, which comes back", processes::kill_node),
    plain("kill-leader", "kill -9 of the node that leads a group", processes::kill_leader),
    plain("kill-voter", "kill -9 of any voter of the registry", processes::kill_voter),
    plain("kill-all", "kill -9 of everything at once", processes::kill_all),
    plain("pause", "a node or voter stands still and then goes on", processes::pause),
    cut("cut-node", "a node is cut off from all other servers", networks::cut_node),
    cut("cut-one-way", "nothing that a node sends arrives", networks::cut_one_way),
    cut("cut-leader", "the node that leads a group is alone with its clients", networks::cut_leader),
    cut("cut-voters", "the registry is split, its leader alone", networks::cut_voters),
    plain("clock-jumps", "a node's or voter's clock jumps ahead, back, and home", disks::clock_jumps),
    plain("disk-full", "a node's disk is full for a while", disks::disk_full),
    plain("sync-error", "a node's disk fails a sync", disks::sync_error),
    plain("power-loss", "a node or voter loses its power and what was not synced", disks::power_loss),
    plain("power-loss-all", "all nodes lose their power", disks::power_loss_all),
    damage("bit-flip", "a bit of a node's files flips while it is off", disks::bit_flip),
    plain("old-image", "a node comes back with the disk that it had a while ago", disks::old_image),
    plain("drain", "a node is drained and serves again", shards::drain),
    plain("move", "a replica moves, and a node of the group is killed meanwhile", shards::move_replica),
    plain("split-merge", "slots move to a new group and back, with kills", shards::split_merge),
    quiet("registry-away", "all voters are away", processes::registry_away),
    quiet("rolling-restart", "every process is restarted in order", processes::rolling_restart),
];
