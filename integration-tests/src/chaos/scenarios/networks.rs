//! Machines that do not hear each other.

use anyhow::{Context as _, bail};
use holdfast_faults::network::Namespace;

use crate::{
    chaos::Stage,
    cluster::{Role, Server},
    process::Place,
};

/// Which packets are lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Both,
    /// Those of the machine that is cut off.
    Out,
}

fn machine(server: &Server) -> anyhow::Result<Namespace> {
    match server.place() {
        Place::Machine(namespace) => Ok(namespace.clone()),
        Place::Here => bail!("{} is on no network", server.name()),
    }
}

/// Cuts one server off from the others for a while; its clients reach it all the time.
fn cut_off(stage: &mut Stage, role: Role, at: usize, way: Way) -> anyhow::Result<()> {
    let alone = machine(stage.server(role, at)?)?;
    let all = stage.cluster.servers().map(|server| machine(server)).collect::<anyhow::Result<Vec<_>>>()?;
    let others = all.iter().filter(|other| other.address() != alone.address());
    let name = stage.server(role, at)?.name().to_owned();
    let cut = stage.plan.cut;
    stage.say(&format!("{name} is cut off for {} s", cut.as_secs()));
    let mut done = Ok(());
    for other in others {
        done = done.and_then(|()| alone.cut(other.address()));
        if way == Way::Both {
            done = done.and_then(|()| other.cut(alone.address()));
        }
    }
    let done = done.and_then(|()| stage.rest(cut));
    all.iter().try_for_each(Namespace::heal).context("healing the network")?;
    done
}

pub(super) fn cut_node(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    cut_off(stage, Role::Node, at, Way::Both)
}

pub(super) fn cut_one_way(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    cut_off(stage, Role::Node, at, Way::Out)
}

pub(super) fn cut_leader(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let at = stage.leading_node(group)?;
    let way = if stage.draw.once_in(2) { Way::Both } else { Way::Out };
    cut_off(stage, Role::Node, at, way)
}

pub(super) fn cut_voters(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.cluster.wait_leader()?;
    cut_off(stage, Role::Registry, at, Way::Both)
}
