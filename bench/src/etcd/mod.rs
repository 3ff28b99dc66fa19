//! etcd beside us: three members of Debian's package on this machine, over mTLS among themselves and with their clients.
//!
//! What is configured, all of it in [`start`]: certificates that are asked for on both kinds of listener, P-256 as ours; everything else,
//! its fsync included, is etcd's default. It seals nothing at rest and decides nothing about a call beyond its client's certificate.

mod certificates;
mod client;
mod connect;
mod wire;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use holdfast_integration_tests::{ports, process::Process, wait};
use tokio::runtime::Handle;

use certificates::Certificates;
pub(crate) use client::Client;
use connect::Tls;

/// Where Debian puts it.
const PROGRAM: &str = "/usr/bin/etcd";
const MEMBERS: usize = 3;
/// How long three members may take to elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three running members; they are killed when this is dropped.
pub(crate) struct Etcd {
    members: Vec<Member>,
    tls: Tls,
}

struct Member {
    process: Process,
    port: u16,
}

/// Name and ports of a member before it runs.
struct Place {
    name: String,
    clients: u16,
    peers: u16,
}

impl Etcd {
    /// Starts three members below `folder` and waits until they have a leader.
    pub(crate) fn start(folder: &Path, runtime: &Handle) -> anyhow::Result<Self> {
        let program = PathBuf::from(PROGRAM);
        anyhow::ensure!(program.exists(), "there is no {PROGRAM}: `make bench-etcd` installs it");
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = folder.canonicalize().context("etcd's folder")?;
        let certificates = Certificates::make(&folder)?;
        let places = (1..=MEMBERS).map(|number| {
            Ok(Place { name: format!("etcd-{number}"), clients: ports::one()?, peers: ports::one()? })
        });
        let places = places.collect::<anyhow::Result<Vec<_>>>()?;
        let peers = places.iter().map(|place| format!("{}={}", place.name, url(place.peers)));
        let peers = peers.collect::<Vec<_>>().join(",");
        let members = places.iter().map(|place| start(&program, &folder, &certificates, place, &peers));
        let etcd = Self { members: members.collect::<anyhow::Result<_>>()?, tls: Tls::new(&certificates)? };
        wait::until(PATIENCE, "etcd's leader", || runtime.block_on(etcd.connect()).map(Some))?;
        Ok(etcd)
    }

    /// A new connection to the leader: etcd is at its best there, as others pass writes on.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        for member in &self.members {
            let client = Client::new(self.tls.connect(member.port).await?);
            if client.leads().await? {
                return Ok(client);
            }
        }
        anyhow::bail!("etcd has no leader")
    }

    /// A new connection to one member after the other, as etcd's own client spreads its calls.
    pub(crate) async fn connect_to(&self, number: usize) -> anyhow::Result<Client> {
        let member = self.members.get(number % MEMBERS).context("no such member")?;
        Ok(Client::new(self.tls.connect(member.port).await?))
    }

    /// Process ids of the members.
    pub(crate) fn process_ids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.process.id()).collect()
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn start(
    program: &Path,
    folder: &Path,
    certificates: &Certificates,
    place: &Place,
    peers: &str,
) -> anyhow::Result<Member> {
    let Place { name, clients, peers: peer } = place;
    let text = |path: &Path| path.display().to_string();
    let arguments = [
        ("name", name.clone()),
        ("data-dir", text(&folder.join(name))),
        ("listen-client-urls", url(*clients)),
        ("advertise-client-urls", url(*clients)),
        ("cert-file", text(&certificates.leaf)),
        ("key-file", text(&certificates.key)),
        ("client-cert-auth", "true".to_owned()),
        ("trusted-ca-file", text(&certificates.root)),
        ("listen-peer-urls", url(*peer)),
        ("initial-advertise-peer-urls", url(*peer)),
        ("peer-cert-file", text(&certificates.leaf)),
        ("peer-key-file", text(&certificates.key)),
        ("peer-client-cert-auth", "true".to_owned()),
        ("peer-trusted-ca-file", text(&certificates.root)),
        ("initial-cluster", peers.to_owned()),
        ("initial-cluster-state", "new".to_owned()),
        ("logger", "zap".to_owned()),
        ("log-level", "error".to_owned()),
    ];
    let arguments = arguments.into_iter().map(|(name, value)| format!("--{name}={value}"));
    let log = folder.join(format!("{name}.log"));
    let process = Process::start(name, program, arguments, &[], &log)?;
    Ok(Member { process, port: *clients })
}
