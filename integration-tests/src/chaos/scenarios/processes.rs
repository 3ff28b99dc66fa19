//! Processes that are killed, stand still, or are restarted.

use std::time::Duration;

use rustix::process::Signal;

use crate::{chaos::Stage, cluster::Role};

/// How long a killed process stays away at most.
const AWAY_MS: u64 = 3_000;

fn kill_and_start(stage: &mut Stage, role: Role, at: usize) -> anyhow::Result<()> {
    let name = stage.server(role, at)?.name().to_owned();
    let away = Duration::from_millis(stage.draw.below(AWAY_MS));
    stage.say(&format!("{name} is killed and away for {} ms", away.as_millis()));
    stage.kill(role, at)?;
    stage.rest(away)?;
    stage.start(role, at)
}

pub(super) fn kill_node(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    kill_and_start(stage, Role::Node, at)
}

pub(super) fn kill_leader(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let at = stage.leading_node(group)?;
    kill_and_start(stage, Role::Node, at)
}

pub(super) fn kill_voter(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Registry);
    kill_and_start(stage, Role::Registry, at)
}

pub(super) fn kill_all(stage: &mut Stage) -> anyhow::Result<()> {
    for role in [Role::Node, Role::Registry] {
        for at in 0..stage.servers(role).len() {
            stage.kill(role, at)?;
        }
    }
    for role in [Role::Registry, Role::Node] {
        for server in stage.servers(role) {
            server.start()?;
        }
    }
    for role in [Role::Registry, Role::Node] {
        for server in stage.servers(role) {
            server.wait_listening()?;
        }
    }
    Ok(())
}

pub(super) fn pause(stage: &mut Stage) -> anyhow::Result<()> {
    let role = if stage.draw.once_in(4) { Role::Registry } else { Role::Node };
    let at = match role {
        Role::Registry => stage.any(role),
        Role::Node => {
            let group = stage.any_group()?;
            stage.leading_node(group)?
        }
    };
    let (name, pause) = (stage.server(role, at)?.name().to_owned(), stage.plan.pause);
    stage.say(&format!("{name} stands still for {} s", pause.as_secs()));
    stage.server(role, at)?.signal(Signal::STOP)?;
    let rested = stage.rest(pause);
    stage.server(role, at)?.signal(Signal::CONT)?;
    rested
}

pub(super) fn registry_away(stage: &mut Stage) -> anyhow::Result<()> {
    let away = stage.plan.registry_away;
    stage.say(&format!("no voter for {} s", away.as_secs()));
    stage.cluster.stop_voters()?;
    let rested = stage.rest(away);
    stage.cluster.start_voters()?;
    rested
}

pub(super) fn rolling_restart(stage: &mut Stage) -> anyhow::Result<()> {
    for role in [Role::Registry, Role::Node] {
        for at in 0..stage.servers(role).len() {
            let server = stage.server(role, at)?;
            server.stop()?;
            server.start_and_wait()?;
            // An operator looks before going on to the next.
            stage.wait_healthy()?;
        }
    }
    Ok(())
}
