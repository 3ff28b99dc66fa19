//! Disks and clocks.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_faults::{disk::Fault, draw::Draw};

use crate::{
    chaos::Stage,
    cluster::{Role, Server},
};

/// How soon a process ends whose disk made it end, under load.
const ENDS: Duration = Duration::from_secs(20);

fn any_server(stage: &mut Stage) -> (Role, usize) {
    let role = if stage.draw.once_in(4) { Role::Registry } else { Role::Node };
    (role, stage.any(role))
}

fn name(stage: &mut Stage, role: Role, at: usize) -> anyhow::Result<String> {
    Ok(stage.server(role, at)?.name().to_owned())
}

pub(super) fn clock_jumps(stage: &mut Stage) -> anyhow::Result<()> {
    let (role, at) = any_server(stage);
    let name = name(stage, role, at)?;
    for minutes in [2, -2, 130, 0] {
        stage.say(&format!("the clock of {name} is {minutes} minutes ahead"));
        stage.disk(role, at)?.set(&[Fault::ClockMs(minutes * 60_000)])?;
        stage.rest(Duration::from_millis(2_500))?;
    }
    Ok(())
}

pub(super) fn disk_full(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    let (name, room) = (name(stage, Role::Node, at)?, stage.draw.below(300_000));
    stage.say(&format!("the disk of {name} has room for {room} bytes"));
    stage.disk(Role::Node, at)?.set(&[Fault::Room(room)])?;
    let rested = stage.rest(Duration::from_secs(5));
    stage.disk(Role::Node, at)?.set(&[])?;
    rested
}

pub(super) fn sync_error(stage: &mut Stage) -> anyhow::Result<()> {
    let group = stage.any_group()?;
    let at = stage.leading_node(group)?;
    let nth = 1 + stage.draw.below(20);
    let name = name(stage, Role::Node, at)?;
    stage.say(&format!("sync {nth} of {name} fails"));
    stage.disk(Role::Node, at)?.set(&[Fault::FailSync(nth)])?;
    let ended = stage.server(Role::Node, at)?.wait_end(ENDS);
    let status = ended.with_context(|| format!("{name} went on after a failed sync"))?;
    if status.success() {
        bail!("{name} ended in order after a failed sync");
    }
    lose_power(stage, Role::Node, at)
}

/// The process is dead; what was not synced goes.
fn lose_power(stage: &mut Stage, role: Role, at: usize) -> anyhow::Result<()> {
    let mut draw = Draw::new(stage.draw.any());
    let disk = stage.disk(role, at)?;
    disk.set(&[])?;
    let loss = disk.lose_power(&mut draw)?;
    let name = name(stage, role, at)?;
    stage.say(&format!("{name} lost {} sectors and {} names", loss.sectors, loss.names.len()));
    stage.start(role, at)
}

pub(super) fn power_loss(stage: &mut Stage) -> anyhow::Result<()> {
    let (role, at) = any_server(stage);
    let steps = 1 + stage.draw.below(80);
    stage.disk(role, at)?.set(&[Fault::KillAt(steps)])?;
    // One that has nothing to write is killed at any moment.
    if stage.server(role, at)?.wait_end(Duration::from_secs(5)).is_err() {
        stage.server(role, at)?.kill()?;
    }
    lose_power(stage, role, at)
}

pub(super) fn power_loss_all(stage: &mut Stage) -> anyhow::Result<()> {
    for node in &mut stage.cluster.nodes {
        node.kill()?;
    }
    (0..stage.cluster.nodes.len()).try_for_each(|at| lose_power(stage, Role::Node, at))
}

/// What a flipped bit can be in: the log, its snapshots, the engine.
fn stores(node: &Server) -> anyhow::Result<Vec<PathBuf>> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let (path, about) = {
                let entry = entry?;
                (entry.path(), entry.metadata()?)
            };
            if about.is_dir() {
                walk(&path, into)?;
            } else if about.len() > 4096 {
                into.push(path);
            }
        }
        into.sort();
        Ok(())
    }
    let mut files = Vec::new();
    walk(node.data(), &mut files)?;
    Ok(files)
}

pub(super) fn bit_flip(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    stage.kill(Role::Node, at)?;
    let mut draw = Draw::new(stage.draw.any());
    let files = stores(stage.server(Role::Node, at)?)?;
    let file = files.get(draw.index(files.len())).context("no files")?;
    let mut bytes = fs::read(file).context("reading a store")?;
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes.get(*at) != Some(&0)).collect();
    let place = written.get(draw.index(written.len())).copied().unwrap_or(0);
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << draw.below(8);
    }
    fs::write(file, bytes).context("writing a store")?;
    stage.say(&format!("a bit of byte {place} of {} is flipped", file.display()));
    stage.start(Role::Node, at)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.metadata()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

pub(super) fn old_image(stage: &mut Stage) -> anyhow::Result<()> {
    let at = stage.any(Role::Node);
    stage.kill(Role::Node, at)?;
    let data = stage.server(Role::Node, at)?.data().to_owned();
    let image = data.with_extension("old");
    copy(&data, &image).context("keeping an image")?;
    stage.start(Role::Node, at)?;
    stage.wait_healthy()?;
    stage.rest(Duration::from_secs(3))?;
    stage.kill(Role::Node, at)?;
    fs::remove_dir_all(&data).context("the disk")?;
    fs::rename(&image, &data).context("the old image")?;
    let name = name(stage, Role::Node, at)?;
    stage.say(&format!("{name} has the disk of some seconds ago"));
    stage.start(Role::Node, at)
}
