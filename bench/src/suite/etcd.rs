//! Three of our nodes beside three members of etcd: durable writes and linearizable reads of as many clients, keys and values of the same
//! size, in turns, by one and the same load over one and the same TLS. Ours are encrypted at rest and decided by policies.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_files_api::v1::{GetRequest, PutSmallRequest, files_client::FilesClient};
use holdfast_keys::hash::sha256;
use tokio::runtime::Builder;
use tonic::transport::Channel;

use super::Setting;
use crate::{
    cluster::{Account, Running},
    etcd::{self, Etcd},
    figure::{Aim, Figure},
    measure::{cpu, load, median, memory::resident_mib, us},
    output,
};

/// Bytes of each value.
const BYTES: usize = 256;
/// Clients at once, each over a connection of its own; on our side each of an account of its own.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// Nodes and members.
const REPLICAS: usize = 3;
/// Turns of each side; the median counts.
const TURNS: usize = 3;
/// Keys of each client that are read.
const KEYS: u64 = 8;

const PEER: &str = "etcd, 3 members, all clients at its leader";
const SPREAD: &str = "etcd, 3 members, clients spread over them";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Read,
}

/// One side, with its connections.
enum Side<'a> {
    Ours(Vec<(&'a Account, FilesClient<Channel>)>),
    Etcd(Vec<etcd::Client>),
}

/// A turn.
struct Turn {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let (span, folder) = (setting.span, setting.folder().to_owned());
    output::complain("starting a cluster of one voter and three nodes, and three members of etcd");
    let mut running = Running::replicated(&folder.join("replicated"), REPLICAS)?;
    let runtime = running.runtime.handle().clone();
    let etcd = Etcd::start(&folder.join("etcd"), &runtime)?;
    // One thread makes all calls of both sides: handing them from thread to thread would cost the servers' cores more than the calls.
    let load = Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let nodes = running.cluster.nodes.iter().map(|node| node.process_id()).collect::<Result<Vec<_>, _>>()?;
    let mut figures = Vec::new();
    for clients in setting.clients(&CLIENTS) {
        let accounts = running.accounts(clients)?.get(..clients).context("too few clients")?;
        let ours = load.block_on(Side::ours(accounts))?;
        let theirs = load.block_on(Side::etcd(&etcd, clients))?;
        let spread = load.block_on(Side::spread(&etcd, clients))?;
        for operation in [Operation::Write, Operation::Read] {
            let (mut us, mut them, mut apart) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..TURNS {
                us.push(load.block_on(ours.turn(operation, &nodes, span))?);
                them.push(load.block_on(theirs.turn(operation, &etcd.process_ids(), span))?);
                apart.push(load.block_on(spread.turn(operation, &etcd.process_ids(), span))?);
            }
            figures.extend(compared(operation, clients, &us, &them, &apart));
        }
    }
    figures.push(memory(&nodes, &etcd.process_ids())?);
    Ok(figures)
}

fn compared(
    operation: Operation,
    clients: usize,
    ours: &[Turn],
    theirs: &[Turn],
    spread: &[Turn],
) -> Vec<Figure> {
    let (what, least) = match (operation, clients) {
        (Operation::Write, 1) => ("durable 256 B writes", 1.2),
        (Operation::Write, _) => ("durable 256 B writes", 2.0),
        (Operation::Read, _) => ("linearizable 256 B reads", 2.0),
    };
    let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    let of = |turns: &[Turn], part: fn(&Turn) -> f64| median(turns.iter().map(part).collect());
    let figure = |name: &str, unit, part: fn(&Turn) -> f64| {
        Figure::new(format!("{what}, {who}{name}"), unit, of(ours, part)).against(of(theirs, part), PEER)
    };
    vec![
        figure("", "/s", |turn| turn.rate).aiming(Aim::RatioAtLeast(least)),
        Figure::new(format!("{what}, {who}"), "/s", of(ours, |turn| turn.rate))
            .against(of(spread, |turn| turn.rate), SPREAD)
            .aiming(Aim::RatioAtLeast(least)),
        figure(": p50", "ms", |turn| turn.p50),
        figure(": p99", "ms", |turn| turn.p99).aiming(Aim::RatioAtMost(1.0)),
        figure(": CPU of all three, each", "us", |turn| turn.cpu),
    ]
}

fn memory(nodes: &[u32], members: &[u32]) -> anyhow::Result<Figure> {
    let sum = |ids: &[u32]| ids.iter().map(|id| resident_mib(*id)).sum::<anyhow::Result<f64>>();
    Ok(Figure::new("resident memory of all three", "MiB", sum(nodes)?)
        .against(sum(members)?, "etcd, 3 members"))
}

impl<'a> Side<'a> {
    /// Connects to the leader and stores what is read later.
    async fn ours(accounts: &'a [Account]) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for account in accounts {
            connections.push((account, account.connect_to_leader().await?));
        }
        Self::Ours(connections).filled().await
    }

    async fn etcd(etcd: &Etcd, clients: usize) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(etcd.connect().await?);
        }
        Self::Etcd(connections).filled().await
    }

    async fn spread(etcd: &Etcd, clients: usize) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for number in 0..clients {
            connections.push(etcd.connect_to(number).await?);
        }
        Self::Etcd(connections).filled().await
    }

    async fn filled(self) -> anyhow::Result<Self> {
        for client in 0..self.clients() {
            for number in 0..KEYS {
                self.put(client, number).await?;
            }
        }
        Ok(self)
    }

    fn clients(&self) -> usize {
        match self {
            Self::Ours(connections) => connections.len(),
            Self::Etcd(connections) => connections.len(),
        }
    }

    async fn turn(&self, operation: Operation, servers: &[u32], span: Duration) -> anyhow::Result<Turn> {
        let used = || servers.iter().map(|id| cpu::of(*id)).sum::<anyhow::Result<Duration>>();
        // What was read before the first turn stays; each turn writes further keys.
        let count = AtomicU64::new(KEYS);
        let before = used()?;
        let load = load::run(self.clients(), span, |client| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                match operation {
                    Operation::Write => self.put(client, number).await,
                    Operation::Read => self.get(client, number % KEYS).await,
                }
            }
        })
        .await?;
        let cpu = us(used()?.saturating_sub(before)) / load.calls();
        Ok(Turn { rate: load.rate(), p50: load.percentile(50), p99: load.percentile(99), cpu })
    }

    async fn put(&self, client: usize, number: u64) -> anyhow::Result<()> {
        let (name, data) = (name(client, number), Bytes::from_static(&[7; BYTES]));
        match self {
            Self::Ours(connections) => {
                let (account, files) = connections.get(client).context("no connection")?;
                let sha256 = Bytes::copy_from_slice(&sha256(&data));
                let request = PutSmallRequest { route: Some(account.route()?), name, data, sha256 };
                files.clone().put_small(request).await.context("a small write")?;
                Ok(())
            }
            Self::Etcd(connections) => {
                connections.get(client).context("no connection")?.put(name, data).await
            }
        }
    }

    async fn get(&self, client: usize, number: u64) -> anyhow::Result<()> {
        let name = name(client, number);
        let length = match self {
            Self::Ours(connections) => {
                let (account, files) = connections.get(client).context("no connection")?;
                let request = GetRequest { route: Some(account.route()?), name, offset: 0 };
                let mut replies = files.clone().get(request).await.context("a read")?.into_inner();
                let mut length = 0;
                while let Some(reply) = replies.message().await.context("a read")? {
                    length += reply.data.len();
                }
                length
            }
            Self::Etcd(connections) => connections.get(client).context("no connection")?.get(name).await?,
        };
        anyhow::ensure!(length == BYTES, "{length} bytes were read");
        Ok(())
    }
}

fn name(client: usize, number: u64) -> Bytes {
    Bytes::from(format!("bench/{client:03}/{number:012}"))
}
