//! From a data folder to a serving node, and back.

mod server;
mod view;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use holdfast_certs::{AcceptLimits, ClientAuth, PinnedPeers, ServerTls};
use holdfast_consensus::{Groups, Options, TlsConnector};
use holdfast_domain::NodeRole;
use holdfast_enrol::{
    folder::Folder,
    member::{Member, keep_renewed},
    registries::Registries,
    watch::Watcher,
};
use holdfast_keys::{LocalKey, P256Public};
use holdfast_store::{EngineError, SledEngine, WriteBehind, engine::SledOptions};
use holdfast_sys_core::{BanList, Clock};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use self::{
    server::{assemble, listen_for, module_servers, serve_rows},
    view::{MapDirectory, follow},
};
use crate::{
    checkpoint::{Checkpoints, keep_checkpoints},
    config::Config,
    custody::Keeper,
    groups::{Neighbours, Runtime, keep_comparing, keep_telling, keep_whole, reconcile},
    partition::{HostedGroups, NodeHost},
    transfer::keep_moving,
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
    let initial = view::known(&member, &map_key)?;
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
