//! A call through the whole request layer (rules, identity, bans, decision, audit event, limits) beside the same call to the
//! same handler with tonic alone, and with the same checks written into the handler, over the same TLS.

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
    let start = |layer| Server::start(&cluster, layer);
    let servers = [start(Layer::Platform)?, start(Layer::Bare)?, start(Layer::ByHand)?];
    let runtime = Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let turn = setting.span / (3 * TURNS);
    let mut costs = [const { (Vec::new(), Vec::new()) }; 3];
    runtime.block_on(async {
        let mut ends = Vec::new();
        for server in &servers {
            let ends_of = (server, Caller::connect(&cluster, &server.address()).await?);
            one_turn(turn, &ends_of).await?;
            ends.push(ends_of);
        }
        for _ in 0..TURNS {
            for (ends_of, (both, server)) in ends.iter().zip(&mut costs) {
                let turn = one_turn(turn, ends_of).await?;
                both.push(turn.0);
                server.push(turn.1);
            }
        }
        anyhow::Ok(())
    })?;
    let [(ours, our_server), (bare, bare_server), (by_hand, _)] =
        costs.map(|(both, server)| (median(both), median(server)));
    let reference = "bare tonic echo, same TLS";
    Ok(vec![
        Figure::new("request layer: CPU per call, both ends", "us", ours)
            .against(bare, reference)
            .aiming(Aim::RatioAtMost(1.2)),
        Figure::new("request layer beside checks by hand: CPU per call, both ends", "us", ours)
            .against(by_hand, "the same checks written into the handler, same TLS"),
        Figure::new("request layer: its own CPU per call, both ends", "us", ours - bare)
            .against(by_hand - bare, "that of checks written by hand")
            .aiming(Aim::AtMost(60.0)),
        Figure::new("request layer: CPU per call, server", "us", our_server).against(bare_server, reference),
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
