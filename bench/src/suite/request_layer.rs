//! A call through the whole request layer (rules, identity, bans, decision, audit event, limits) beside the same call to the
//! same handler with tonic alone, over the same TLS.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::runtime::Builder;

use super::Setting;
use crate::{
    echo::{self, Caller, Layer, Server},
    figure::{Aim, Figure},
    measure::{cpu, load, median, us},
};

/// Calls under way at once: enough that the cost of waking up is shared, which makes the layer's part of a call as large as it gets.
const AT_ONCE: usize = 16;

/// Bytes that each call carries.
const BYTES: usize = 256;

/// Turns that each server takes.
const TURNS: u32 = 9;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let cluster = echo::cluster()?;
    let (platform, bare) = (Server::start(&cluster, Layer::Platform)?, Server::start(&cluster, Layer::Bare)?);
    let runtime = Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let turn = setting.span / (2 * TURNS);
    let mut costs = [const { Vec::new() }; 4];
    runtime.block_on(async {
        let platform = (&platform, Caller::connect(&cluster, &platform.address()).await?);
        let bare = (&bare, Caller::connect(&cluster, &bare.address()).await?);
        let _ = (one_turn(turn, &platform).await?, one_turn(turn, &bare).await?);
        for _ in 0..TURNS {
            let ((ours, our_server), (floor, floor_server)) =
                (one_turn(turn, &platform).await?, one_turn(turn, &bare).await?);
            costs
                .iter_mut()
                .zip([ours, floor, our_server, floor_server])
                .for_each(|(all, one)| all.push(one));
        }
        anyhow::Ok(())
    })?;
    let [ours, floor, our_server, floor_server] = costs.map(median);
    let reference = "bare tonic echo, same TLS";
    Ok(vec![
        Figure::new("request layer: CPU per call, both ends", "us", ours)
            .against(floor, reference)
            .aiming(Aim::RatioAtMost(1.2)),
        Figure::new("request layer: CPU per call, server", "us", our_server).against(floor_server, reference),
    ])
}

/// CPU microseconds for a call: of both ends, of the server.
async fn one_turn(span: Duration, (server, caller): &(&Server, Caller)) -> anyhow::Result<(f64, f64)> {
    let data = Bytes::from(vec![7; BYTES]);
    let (both, alone) = (cpu::process(), server.cpu().await?);
    let load = load::run(AT_ONCE, span, |_| caller.put_small(data.clone())).await?;
    let (both, alone) = (cpu::process() - both, server.cpu().await? - alone);
    Ok((us(both) / load.calls(), us(alone) / load.calls()))
}
