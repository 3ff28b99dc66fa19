//! Durable small writes of some clients at once, beside what the disk does for one program that syncs each append.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_files_api::v1::{PutSmallRequest, files_client::FilesClient};
use holdfast_keys::hash::sha256;
use tonic::transport::Channel;

use super::Setting;
use crate::{
    cluster::Account,
    figure::Figure,
    measure::{disk, load},
};

/// Bytes of each write.
const BYTES: usize = 256;

/// Clients at once, each of an account of its own over a connection of its own.
const CLIENTS: [usize; 3] = [1, 16, 64];

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let (span, folder) = (setting.span, setting.folder().to_owned());
    let mut figures = Vec::new();
    for clients in setting.clients(&CLIENTS) {
        let running = setting.cluster()?;
        let runtime = running.runtime.handle().clone();
        let accounts = running.accounts(clients)?.get(..clients).context("too few clients")?;
        let floor = disk::synced_appends(&folder, BYTES, span / 2)?;
        let load = runtime.block_on(write(accounts, span))?;
        let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        let name = format!("durable 256 B writes, {who}");
        let reference = "append and fdatasync, one after the other";
        figures.push(Figure::new(name, "/s", load.rate()).against(floor.rate(), reference));
        let name = format!("durable 256 B write, {who}: p99");
        figures.push(Figure::new(name, "ms", load.percentile(99)).against(floor.percentile(99), reference));
    }
    Ok(figures)
}

/// The same where groups have several replicas.
pub(super) async fn to_leaders(
    accounts: &[Account],
    span: std::time::Duration,
) -> anyhow::Result<load::Load> {
    let mut connections = Vec::new();
    for account in accounts {
        connections.push((account, account.connect_to_leader().await?));
    }
    load_of(&connections, span).await
}

async fn write(accounts: &[Account], span: std::time::Duration) -> anyhow::Result<load::Load> {
    let mut connections = Vec::new();
    for account in accounts {
        connections.push((account, account.connect().await?));
    }
    load_of(&connections, span).await
}

async fn load_of(
    connections: &[(&Account, FilesClient<Channel>)],
    span: std::time::Duration,
) -> anyhow::Result<load::Load> {
    let data = Bytes::from(vec![7; BYTES]);
    let sha256 = Bytes::copy_from_slice(&sha256(&data));
    let count = AtomicU64::new(0);
    load::run(connections.len(), span, |client| {
        let (connection, data, sha256) = (connections.get(client), data.clone(), sha256.clone());
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            let (account, files) = connection.context("no connection")?;
            let name = Bytes::from(format!("bench/{number:012}"));
            put(files, PutSmallRequest { route: Some(account.route()?), name, data, sha256 }).await
        }
    })
    .await
}

async fn put(files: &FilesClient<Channel>, request: PutSmallRequest) -> anyhow::Result<()> {
    files.clone().put_small(request).await.context("a small write")?;
    Ok(())
}
