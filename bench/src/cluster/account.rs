//! Clients: each registers its own key with an invite, and keeps a connection of its own.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_accounts_api::v1::organisations_client::OrganisationsClient;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::{Client, Registering, credential::ClientCredential, map::Route};
use holdfast_domain::{AccountId, HomeId, OrgId};
use holdfast_files_api::v1::{PutSmallRequest, files_client::FilesClient};
use holdfast_integration_tests::cluster::Cluster;
use holdfast_keys::{OneTime, hash::sha256, one_time::OneTimeKind, random_array, secret_file::read_secret};
use holdfast_proto::module::v1 as wire;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// More than any part stores.
const QUOTA: &str = "16GiB";

/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of an account.
pub(crate) struct Account {
    /// The SDK's view of it.
    pub(crate) client: Client,
    /// Its account.
    pub(crate) home: AccountId,
    /// Shows its identity.
    pub(crate) dialer: Dialer,
    route: Route,
}

/// Registers `count` clients, numbered from `first`.
pub(super) fn register(
    cluster: &Cluster,
    runtime: &Runtime,
    first: usize,
    count: usize,
) -> anyhow::Result<Vec<Account>> {
    let invites = cluster.path(&format!("bench-invites-{first}"));
    let (folder, how_many) = (invites.display().to_string(), count.to_string());
    let arguments = ["invite", "new", "--count", &how_many, "--out-dir", &folder, "--quota", QUOTA];
    cluster.holdfast().ok(arguments).context("inviting clients")?;
    let files = fs::read_dir(&invites).context("listing the invites")?;
    let files: Vec<_> = files.map(|file| Ok(file?.path())).collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(files.len() == count, "{count} invites were asked for and {} came", files.len());
    let register = |(number, invite): (usize, &std::path::PathBuf)| {
        let dir = cluster.path(&format!("bench-accounts/{}", first + number));
        runtime.block_on(Account::register(cluster, invite, &dir))
    };
    files.iter().enumerate().map(register).collect()
}

impl Account {
    async fn register(cluster: &Cluster, invite: &Path, dir: &Path) -> anyhow::Result<Self> {
        let parent = dir.parent().context("the folder of accounts")?;
        fs::create_dir_all(parent).context("making the folder of accounts")?;
        let invite = OneTime::parse(OneTimeKind::Invite, &read_secret(invite)?)?;
        let root_hash = cluster.founded()?.root()?;
        let registries = cluster.registries().into_iter().map(|address| Ok(address.parse()?));
        let registries = registries.collect::<anyhow::Result<_>>()?;
        let registering = Registering { registries, root_hash, invite: &invite, dir, patience: PATIENCE };
        let client = Client::init(registering).await.context("registering a client")?;
        let credential = ClientCredential::open(dir, Some(root_hash))?;
        let identity = LiveIdentity::new(credential.checked_identity()?);
        let dialer = Dialer::new(credential.trust().live(), Some(identity));
        let route = client.resolve().await.context("finding a client's shard")?;
        Ok(Self { client, home: credential.description().account, dialer, route })
    }

    /// A new connection to the node that serves it.
    pub(crate) async fn connect(&self) -> anyhow::Result<FilesClient<Channel>> {
        Ok(FilesClient::new(self.channel().await?))
    }

    /// A new connection to the replica that leads its group.
    pub(crate) async fn connect_to_leader(&self) -> anyhow::Result<FilesClient<Channel>> {
        let mut last = anyhow::anyhow!("its group has no replica");
        for replica in &self.route.replicas {
            let dialed = self.dialer.connect(&replica.address, &ExpectedServer::Node(replica.node)).await?;
            let files = FilesClient::new(dialed.channel);
            match self.probe(files.clone()).await {
                Ok(()) => return Ok(files),
                Err(error) => last = error,
            }
        }
        Err(last.context("nobody takes writes"))
    }

    /// A write, which only a leader takes.
    async fn probe(&self, mut files: FilesClient<Channel>) -> anyhow::Result<()> {
        let (name, data) = (Bytes::from_static(b"probe"), Bytes::new());
        let sha256 = Bytes::copy_from_slice(&sha256(&data));
        files.put_small(PutSmallRequest { route: Some(self.route()?), name, data, sha256 }).await?;
        Ok(())
    }

    /// The same to ask about an organisation, and what each of these requests begins with: the cluster's one group has all homes.
    pub(crate) async fn organisation(
        &self,
        id: OrgId,
    ) -> anyhow::Result<(OrganisationsClient<Channel>, wire::Route)> {
        let route = wire::Route { home: Some(HomeId::from(id).into()), ..self.route()? };
        Ok((OrganisationsClient::new(self.channel().await?), route))
    }

    async fn channel(&self) -> anyhow::Result<Channel> {
        let replica = self.route.replicas.first().context("its group has no replica")?;
        let dialed = self.dialer.connect(&replica.address, &ExpectedServer::Node(replica.node)).await?;
        Ok(dialed.channel)
    }

    /// What each of its requests begins with.
    pub(crate) fn route(&self) -> anyhow::Result<wire::Route> {
        let Route { epoch, group, replicas: _ } = &self.route;
        let command = Bytes::copy_from_slice(&random_array::<16>()?);
        Ok(wire::Route {
            map_epoch: epoch.0,
            group: group.0,
            command_id: command,
            home: None,
            max_staleness_ms: 0,
        })
    }
}
