//! Everything that the node serves.

use std::sync::Arc;

use anyhow::Context as _;
use holdfast_accounts::login::{LoginSettings, LoginsService, Mailer};
use holdfast_accounts_api::v1::logins_server::LoginsServer;
use holdfast_certs::PinnedPeers;
use holdfast_consensus::TlsPeerAuth;
use holdfast_domain::BanSubject;
use holdfast_enrol::{member::Member, registries::Registries, watch::Watcher};
use holdfast_proto::node::v1::{
    maps_server::MapsServer, node_server::NodeServer, peer_server::PeerServer,
    transfer_server::TransferServer,
};
use holdfast_sys_core::{
    BanList, Clock, PlatformServer,
    remote::{DataServer, ModuleServer, ModuleServerSpec},
    session::SessionSettings,
};

use crate::{
    config::Config,
    groups::Runtime,
    logins::RegistryDevices,
    mail::SmtpMailer,
    modules,
    partition::NodeHost,
    services::{MapsService, NodeService, PeerService},
    transfer::TransferService,
};

pub(super) async fn assemble(
    member: &Member,
    runtime: &Arc<Runtime>,
    host: &Arc<NodeHost>,
    watcher: &Watcher,
    bans: &BanList,
    module_servers: &[(u32, ModuleServer)],
    config: &Config,
) -> anyhow::Result<PlatformServer> {
    let banned = {
        let list = bans.watch();
        move |node| list.borrow().contains(&BanSubject::Node(node))
    };
    let domain = member.genesis.trust_domain.clone();
    let builder = PlatformServer::builder(domain, bans.clone(), PinnedPeers::none(), Clock::system())
        .descriptors(holdfast_proto::DESCRIPTORS)
        .service(runtime.consensus.service(Arc::new(TlsPeerAuth::new(banned))))
        .service(PeerServer::new(PeerService::new(Arc::clone(runtime))))
        .service(TransferServer::new(TransferService::new(Arc::clone(runtime))))
        .service(MapsServer::new(MapsService::new(Arc::new(watcher.view()))))
        .service(NodeServer::new(NodeService::new(Arc::clone(runtime), watcher.connected())))
        .sessions(SessionSettings {
            cluster: member.settings().cluster,
            node: member.settings().node,
            trust: member.trust.clone(),
            web_origins: config.web_origins.clone(),
        });
    let logins = logins(&runtime.keeper.registries, config)?;
    let view = watcher.view();
    let roles = Arc::new(move |account| view.borrow().global_roles.get(&account).copied());
    Ok(modules::mount(builder, host, roles, module_servers, logins).build().await?)
}

/// Signing in with passwords, and mail if there is a server for it.
fn logins(registries: &Registries, config: &Config) -> anyhow::Result<LoginsServer<LoginsService>> {
    let mailer: Option<Arc<dyn Mailer>> = match &config.mail {
        Some(mail) => Some(Arc::new(SmtpMailer::open(mail).context("[mail]")?)),
        None => None,
    };
    let settings = LoginSettings {
        devices: Arc::new(RegistryDevices::new(registries.clone())),
        mailer,
        clock: Clock::system(),
    };
    Ok(holdfast_accounts::login::server(settings)?)
}

/// Reads the files of all module servers.
pub(super) fn module_servers(config: &Config) -> anyhow::Result<Vec<(u32, ModuleServer)>> {
    let load = |(number, spec): &(u32, _)| Ok((*number, ModuleServer::load(ModuleServerSpec::clone(spec))?));
    config.module_servers.iter().map(load).collect()
}

/// Opens the sockets at which module servers reach rows.
pub(super) async fn listen_for(
    servers: &[(u32, ModuleServer)],
    member: &Member,
) -> anyhow::Result<Vec<DataServer>> {
    let mut open = Vec::new();
    for (_, server) in servers {
        open.push(server.listen(member.genesis.trust_domain.clone(), Clock::system()).await?);
    }
    Ok(open)
}

pub(super) async fn serve_rows(server: DataServer) {
    if let Err(error) = server.serve().await {
        tracing::error!(error = %holdfast_domain::causes(&error), "a module server's rows are not served any more");
    }
}
