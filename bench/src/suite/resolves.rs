//! Clients that ask the registry for their shard, beside calls to a bare echo whose replies are as large.

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_certs::ExpectedServer;
use holdfast_proto::registry::v1::{ResolveRequest, directory_client::DirectoryClient};
use tonic::transport::Channel;

use super::Setting;
use crate::{
    cluster::{Account, Running},
    echo::{self, Caller, Layer, Server},
    figure::Figure,
    measure::load,
};

/// Calls under way at once, over one connection.
const AT_ONCE: usize = 32;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let span = setting.span;
    let running = setting.cluster()?;
    running.accounts(1)?;
    let echo_cluster = echo::cluster()?;
    let echo = Server::start(&echo_cluster, Layer::Bare)?;
    let (ours, floor) = rates(running, &echo_cluster, &echo, span)?;
    let reference = "bare tonic echo, same TLS and reply size";
    Ok(vec![
        Figure::new("resolves", "/s", ours.rate()).against(floor.rate(), reference),
        Figure::new("resolve: p99", "ms", ours.percentile(99)).against(floor.percentile(99), reference),
    ])
}

fn rates(
    running: &mut Running,
    echo_cluster: &holdfast_certs::testing::TestCluster,
    echo: &Server,
    span: std::time::Duration,
) -> anyhow::Result<(load::Load, load::Load)> {
    let address = running.voter()?.address();
    let runtime = running.runtime.handle().clone();
    let account = running.accounts(1)?.first().context("no client")?;
    runtime.block_on(async {
        let dialed = account.dialer.connect(&address, &ExpectedServer::AnyRegistry).await?;
        let directory = DirectoryClient::new(dialed.channel);
        let bytes = resolve(&directory, account).await?;
        let ours =
            load::run(AT_ONCE, span, |_| async { resolve(&directory, account).await.map(drop) }).await?;
        let caller = Caller::connect(echo_cluster, &echo.address()).await?;
        let floor = load::run(AT_ONCE, span, |_| caller.answered_with(bytes)).await?;
        anyhow::Ok((ours, floor))
    })
}

/// The size of the map that came.
async fn resolve(directory: &DirectoryClient<Channel>, account: &Account) -> anyhow::Result<u64> {
    let home = Bytes::copy_from_slice(account.home.as_bytes());
    let min_map_epoch = account.route()?.map_epoch;
    let reply = directory.clone().resolve(ResolveRequest { home, min_map_epoch }).await?.into_inner();
    let map = reply.map.context("no map")?;
    Ok(u64::try_from(map.bytes.len() + map.signature.len())?)
}
