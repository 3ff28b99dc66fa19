//! What an idle registry and an idle node take, and how long a node takes from its start to its first answer.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use holdfast_files_api::v1::UsageRequest;

use super::Setting;
use crate::{
    cluster::{Account, Running},
    echo::EchoProcess,
    figure::{Aim, Figure},
    measure::{median, memory::resident_mib, ms},
};

/// Until then a process has done what it does after its start.
const SETTLING: Duration = Duration::from_secs(2);

/// Starts that are measured.
const STARTS: usize = 3;

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let running = setting.cluster()?;
    thread::sleep(SETTLING);
    let echo = EchoProcess::start()?;
    thread::sleep(SETTLING);
    let floor = resident_mib(echo.id())?;
    drop(echo);
    let idle = |name, id| {
        let figure = Figure::new(name, "MiB", resident_mib(id)?);
        Ok(figure.against(floor, "bare echo process, idle").aiming(Aim::AtMost(64.0)))
    };
    let memory: anyhow::Result<Vec<_>> = [
        idle("registry, idle: resident memory", running.voter()?.process_id()?),
        idle("node, idle: resident memory", running.node()?.process_id()?),
    ]
    .into_iter()
    .collect();
    let mut figures = memory?;
    running.accounts(1)?;
    let node = (0..STARTS).map(|_| restart(running)).collect::<anyhow::Result<_>>()?;
    let bare = (0..STARTS).map(|_| Ok(ms(EchoProcess::start()?.started_in)));
    let bare = bare.collect::<anyhow::Result<_>>()?;
    let start = Figure::new("node: start until it answers", "ms", median(node));
    figures.push(start.against(median(bare), "bare echo process until it listens"));
    Ok(figures)
}

/// Stops the node and starts it again; milliseconds until a client's call is answered.
fn restart(running: &mut Running) -> anyhow::Result<f64> {
    running.node()?.stop()?;
    let begin = Instant::now();
    running.node()?.start()?;
    let runtime = running.runtime.handle().clone();
    let account = running.accounts(1)?.first().context("no client")?;
    let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, until_answered(account)).await });
    answered.context("the node did not answer after its start")?;
    Ok(ms(begin.elapsed()))
}

async fn until_answered(account: &Account) {
    while ask(account).await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn ask(account: &Account) -> anyhow::Result<()> {
    account.connect().await?.usage(UsageRequest { route: Some(account.route()?) }).await?;
    Ok(())
}
