//! From a data folder to a serving node, and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use holdfast_accounts::login::{LoginSettings, LoginsService, Mailer};
use holdfast_accounts_api::v1::logins_server::LoginsServer;
use holdfast_certs::{AcceptLimits, ClientAuth, PinnedPeers, ServerTls};
use holdfast_consensus::{
    Groups, Member as RaftMember, Options, PeerDirectory, Pin, TlsConnector, TlsPeerAuth,
};
use holdfast_domain::{BanSubject, GroupId, NodeRole, ReplicaId, ShardMap, Signed, VoterEndpoint};
use holdfast_enrol::{
    folder::Folder,
    member::{Member, MemberError, files, genuine, keep_renewed, remember},
    registries::Registries,
    watch::{VerifiedMap, View, Watcher},
};
use holdfast_keys::{LocalKey, P256Public};
use holdfast_proto::node::v1::{
    maps_server::MapsServer, node_server::NodeServer, peer_server::PeerServer,
    transfer_server::TransferServer,
};
use holdfast_store::{EngineError, SledEngine, WriteBehind, engine::SledOptions};
use holdfast_sys_core::{
    BanList, Clock, PlatformServer,
    remote::{DataServer, ModuleServer, ModuleServerSpec},
    session::SessionSettings,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    checkpoint::{Checkpoints, keep_checkpoints},
    config::Config,
    custody::Keeper,
    groups::{Neighbours, Runtime, keep_comparing, keep_telling, keep_whole, reconcile},
    logins::RegistryDevices,
    mail::SmtpMailer,
    modules,
    partition::{HostedGroups, NodeHost},
    services::{MapsService, NodeService, PeerService},
    transfer::{TransferService, keep_moving},
};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps the node from serving, with the thing and the way out.
pub async fn run(data: &Path, config: &Config) -> anyhow::Result<()> {
    let stop = signal_to_stop().context("cannot wait for signals")?;
    let member = Arc::new(Member::open(data, NodeRole::Node).await?);
    let listen = member.settings().listen.clone();
    // Before anything is opened for writing: another process on the port is the commonest mistake.
    let listener = TcpListener::bind(&listen).await.with_context(|| {
        format!(
            "cannot listen on {listen}: stop what uses it, or change `listen` in {}",
            data.join("folder.toml").display()
        )
    })?;
    let local = member.local_key().await?;
    let registries = Registries::new(member.registry_addresses()?, member.registry_dialer());
    let map_key =
        P256Public::from_point(&member.genesis.map_key).context("the map key of the genesis record")?;
    let cluster = member.settings().cluster;
    let initial = known_view(&member, &map_key)?;
    let bans = BanList::new();
    // Before anybody is let in, and not by the task that follows the registry: it may run later than the first call.
    bans.replace(initial.bans.clone())?;
    let watcher = Watcher::start(registries.clone(), cluster, map_key, initial);

    let runtime = open_runtime(&member, &registries, &watcher, &local, config).await?;
    let host = Arc::new(NodeHost {
        cluster,
        groups: Arc::clone(&runtime.hosted),
        map: Arc::new(watcher.view()),
        clock: Clock::system(),
    });
    let modules = module_servers(config)?;
    let data = listen_for(&modules, &member).await?;
    let server = assemble(&member, &runtime, &host, &watcher, &bans, &modules, config).await?;
    let tls = ServerTls::new(
        member.listener_identity.clone(),
        member.trust.clone(),
        ClientAuth::Optional,
        PinnedPeers::none(),
    )?;

    runtime.resume().await;
    let mut background: Vec<_> = data.into_iter().map(|server| tokio::spawn(serve_rows(server))).collect();
    background.extend([
        tokio::spawn(reconcile(Arc::clone(&runtime))),
        tokio::spawn(keep_whole(Arc::clone(&runtime))),
        tokio::spawn(keep_comparing(Arc::clone(&runtime), config.compare_every)),
        tokio::spawn(keep_telling(Arc::clone(&runtime), config.demands_hardware_tpm)),
        tokio::spawn(keep_moving(Arc::clone(&runtime), config.moves)),
        tokio::spawn(keep_checkpoints(Arc::clone(&runtime))),
        tokio::spawn(keep_renewed(Arc::clone(&member), registries)),
        tokio::spawn(follow(Arc::clone(&member), watcher.view(), bans)),
    ]);
    server.health().ready().await;
    tracing::info!(node = %member.settings().node, %cluster, listen, "serving");
    let streams = runtime.consensus.clone();
    let leaving = Arc::clone(&runtime);
    let shutdown = async move {
        stop.await;
        // First of all, so that whoever calls meanwhile is told who leads now.
        leaving.hand_over_leads().await;
        // Peers' streams never end by themselves; what clients began goes on while the server drains.
        streams.close_streams();
    };
    let served = server.serve(listener, tls, AcceptLimits::default(), shutdown).await;
    background.iter().for_each(tokio::task::JoinHandle::abort);
    runtime.close_keys();
    if let Err(error) = runtime.checkpoint().await {
        tracing::warn!(error = %holdfast_domain::causes(&error), "no checkpoint at the end");
    }
    runtime.consensus.shutdown().await;
    tracing::info!("stopped");
    Ok(served?)
}

/// What the folder remembers of the registry: enough to serve while that is away.
fn known_view(member: &Member, map_key: &P256Public) -> anyhow::Result<View> {
    let signed: Option<Signed<ShardMap>> = member.folder.get(files::MAP)?;
    let verify = |signed| VerifiedMap::verify(signed, member.settings().cluster, map_key).map(Arc::new);
    let map = signed.map(verify).transpose().context("the shard map in the data folder")?;
    Ok(View {
        index: member.folder.get(files::INDEX)?.unwrap_or_default(),
        map,
        approvals: member.folder.get(files::APPROVALS)?.unwrap_or_default(),
        voters: member.folder.get::<Vec<VoterEndpoint>>(files::VOTERS)?.unwrap_or_default(),
        bans: member.folder.get(files::BANS)?.unwrap_or_default(),
        global_roles: Arc::new(member.folder.get(files::GLOBAL_ROLES)?.unwrap_or_default()),
        // What was wanted then may be done: that is the registry's to repeat.
        drops: BTreeSet::new(),
        rotations: BTreeMap::new(),
    })
}

async fn open_runtime(
    member: &Arc<Member>,
    registries: &Registries,
    watcher: &Watcher,
    local: &LocalKey,
    config: &Config,
) -> anyhow::Result<Arc<Runtime>> {
    let connector = TlsConnector::new(member.peer_dialer());
    let directory = MapDirectory(watcher.view());
    let options = Options::new(member.folder.part("raft"));
    let copy = LocalKey::from_bytes(*local.expose_for_wrapping());
    let consensus = Groups::open(options, copy, Arc::new(connector), Arc::new(directory)).await?;
    let options = SledOptions { cache_bytes: config.cache_bytes, ..SledOptions::default() };
    let owner = Arc::clone(member);
    let engine = tokio::task::spawn_blocking(move || open_engine(&owner.folder, &options)).await??;
    let stored = consensus.stored().into_iter().collect();
    let tpm = member.machine.tpm().clone();
    let checkpoints = Checkpoints::open(Arc::clone(&member.folder), tpm, local, &stored).await?;
    Ok(Arc::new(Runtime {
        checkpoints,
        keeper: Keeper { member: Arc::clone(member), registries: registries.clone() },
        consensus,
        hosted: Arc::new(HostedGroups::default()),
        engine: Arc::new(WriteBehind::over(engine)?),
        content: member.folder.part("content"),
        view: watcher.view(),
        neighbours: Arc::new(Neighbours::new(member.peer_dialer())),
        clock: Clock::system(),
        memory: std::sync::Mutex::default(),
    }))
}

/// A store that was damaged, by a loss of power say, is put aside: log and snapshots hold everything that was acknowledged, and each
/// group's state is rebuilt from them.
fn open_engine(folder: &Folder, options: &SledOptions) -> anyhow::Result<SledEngine> {
    let store = folder.part("state");
    let damaged = match SledEngine::open(&store, options) {
        Err(error @ EngineError::Damaged { .. }) => error,
        opened => return Ok(opened?),
    };
    let aside = folder.renew_part("state").context("putting the damaged store aside")?;
    tracing::error!(error = %holdfast_domain::causes(&damaged), aside = %aside.display(), "the store is damaged; it is rebuilt from the log");
    Ok(SledEngine::open(&store, options)?)
}

async fn assemble(
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
fn module_servers(config: &Config) -> anyhow::Result<Vec<(u32, ModuleServer)>> {
    let load = |(number, spec): &(u32, _)| Ok((*number, ModuleServer::load(ModuleServerSpec::clone(spec))?));
    config.module_servers.iter().map(load).collect()
}

/// Opens the sockets at which module servers reach rows.
async fn listen_for(servers: &[(u32, ModuleServer)], member: &Member) -> anyhow::Result<Vec<DataServer>> {
    let mut open = Vec::new();
    for (_, server) in servers {
        open.push(server.listen(member.genesis.trust_domain.clone(), Clock::system()).await?);
    }
    Ok(open)
}

async fn serve_rows(server: DataServer) {
    if let Err(error) = server.serve().await {
        tracing::error!(error = %holdfast_domain::causes(&error), "a module server's rows are not served any more");
    }
}

/// Takes over what each view says: bans at once, and the rest into the folder for the next start.
async fn follow(member: Arc<Member>, mut view: watch::Receiver<Arc<View>>, bans: BanList) {
    let mut kept: Option<Arc<View>> = None;
    loop {
        let current = Arc::clone(&view.borrow_and_update());
        if let Err(error) = bans.replace(current.bans.clone()) {
            // Without the list the banned would be let in.
            tracing::error!(%error, "stopping");
            std::process::exit(1);
        }
        let (to, new, before) = (Arc::clone(&member), Arc::clone(&current), kept.clone());
        // Syncing blocks, and the next bans wait for it: only what changed is written.
        let keeping = tokio::task::spawn_blocking(move || keep(&to, &new, before.as_deref()));
        match keeping.await {
            Ok(Ok(())) => kept = Some(current),
            Ok(Err(error)) => {
                tracing::error!(error = %holdfast_domain::causes(&error), "what the registry says is not kept on disk");
            }
            Err(_) => return,
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

fn keep(member: &Member, view: &View, before: Option<&View>) -> Result<(), MemberError> {
    if let Some(map) = &view.map
        && before.and_then(|before| before.map.as_ref()).is_none_or(|before| before.signed != map.signed)
    {
        member.folder.put(files::MAP, &map.signed)?;
    }
    if before.is_none_or(|before| before.bans != view.bans) {
        member.folder.put(files::BANS, &view.bans)?;
    }
    if before.is_none_or(|before| before.global_roles != view.global_roles) {
        member.folder.put(files::GLOBAL_ROLES, &*view.global_roles)?;
    }
    if view.index == 0 {
        return Ok(());
    }
    if before.is_none_or(|before| before.voters != view.voters) {
        member.folder.put(files::VOTERS, &view.voters)?;
    }
    if before.is_none_or(|before| before.approvals != view.approvals) {
        remember(&member.folder, &genuine(&member.genesis, &view.approvals)?)?;
    }
    // Last: an index without the bans of that moment would refuse them later.
    Ok(member.folder.put(files::INDEX, &view.index)?)
}

/// Members by the signed map.
struct MapDirectory(watch::Receiver<Arc<View>>);

impl PeerDirectory for MapDirectory {
    fn member(&self, group: GroupId, replica: ReplicaId) -> Option<RaftMember> {
        let view = self.0.borrow();
        let descriptor = view.map.as_ref()?.map.group(group)?;
        let found = descriptor.replicas.iter().find(|of| of.replica == replica)?;
        Some(RaftMember { node: found.node, address: found.address.clone(), pin: Pin::Certificate })
    }
}

/// From this call on, a signal to stop is remembered: one that comes while the node starts stops it in order too.
fn signal_to_stop() -> std::io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
