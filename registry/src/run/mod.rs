//! A running member of the registry.
//!
//! Order: folder and TPM → keys unsealed → consensus → listen (peers first: a quorum needs no valid leaf, only pinned keys) → state replayed →
//! secrets opened → own leaf renewed if it expired → ready.

mod follow;
mod known;
mod learn;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use holdfast_certs::{AcceptLimits, ClientAuth, PinnedPeers, ServerTls, TlsSetupError};
use holdfast_consensus::{Groups, LogOpenError, Options, StartError, TlsConnector, TlsPeerAuth};
use holdfast_domain::{BanSubject, GroupId, NodeId, NodeRole, VoterEndpoint};
use holdfast_enrol::{
    folder::FolderError,
    machine::MachineError,
    member::{Member, MemberError, files},
};
use holdfast_keys::Crk;
use holdfast_proto::registry::v1::operators_server::OperatorsServer;
use holdfast_sys_core::{
    BanList, Clock, PlatformServer,
    bans::TooManyBans,
    server::{ServeError, StartError as ServerStartError, Stopping},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    cluster::{Cluster, ClusterError},
    config::Config,
    core::{Core, CoreParts},
    machine::Machine,
    operators::OperatorsService,
    services,
    state_host::StateHost,
    voter::{self, Voter},
};

use follow::Follower;
pub(crate) use known::KnownVoters;

/// Name of the sealed CRK in a member's folder.
pub(crate) const CRK: &str = "crk.key";

/// Largest list that operators are sent: everyone who ever joined.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// Why a registry member does not run, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Folder, TPM, certificates.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// TPM or sealed keys.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The folder names no Raft id.
    #[error("folder.toml names no replica: the data folder is damaged; remove it and join again")]
    NoReplica,
    /// The log.
    #[error("the consensus log")]
    Log(#[from] LogOpenError),
    /// The registry's group.
    #[error("the registry's group in {}", folder.display())]
    Group {
        /// Where its log and snapshots are.
        folder: PathBuf,
        /// Why it does not start.
        #[source]
        source: StartError,
    },
    /// The genesis record.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The socket.
    #[error("cannot listen on {address}: stop what uses it, or change `listen` in {}", settings.display())]
    Listen {
        /// Where.
        address: String,
        /// Which file says so.
        settings: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// Rules or reflection.
    #[error(transparent)]
    Server(#[from] ServerStartError),
    /// The listener.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// More bans than a process holds.
    #[error("this registry machine cannot enforce the bans")]
    Bans(#[from] TooManyBans),
    /// Banned.
    #[error("this registry machine is banned: an operator can lift that with `holdfast unban node {0}`")]
    Banned(NodeId),
}

/// Serves until `shutdown`.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    data: &Path,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let member = Member::open(data, NodeRole::Registry).await?;
    let address = member.settings().listen.clone();
    let settings = data.join("folder.toml");
    let failed = |source| RunError::Listen { address: address.clone(), settings, source };
    let listener = TcpListener::bind(&address).await.map_err(failed)?;
    let known = KnownVoters::new(member.folder.get::<Vec<VoterEndpoint>>(files::VOTERS)?.unwrap_or_default());
    let lost_after = config.lost_after;
    let (groups, voter) = assemble(member, config, known.clone()).await?;
    let served = serve(&groups, Arc::new(voter), lost_after, known, listener, shutdown).await;
    groups.shutdown().await;
    served
}

async fn assemble(member: Member, config: Config, known: KnownVoters) -> Result<(Groups, Voter), RunError> {
    let cluster = Cluster::new(member.trust.current().root().clone(), member.signed_genesis.clone())?;
    let crk = Crk::from_secret(member.machine.unseal(&member.folder, CRK, &member.proof).await?);
    let local = member.local_key().await?;
    let replica = member.settings().replica.ok_or(RunError::NoReplica)?;
    let options = Options { timing: config.timing, ..Options::new(member.folder.part("raft")) };
    let connector = Arc::new(TlsConnector::new(member.peer_dialer()));
    let groups = Groups::open(options, local, connector, Arc::new(known)).await?;
    let host = StateHost::default();
    let group = groups.start(GroupId::REGISTRY, replica, Box::new(Machine(host.clone()))).await;
    let failed = |source| RunError::Group { folder: member.folder.part("raft"), source };
    let group = group.map_err(failed)?;
    let parts = CoreParts {
        me: member.settings().node,
        cluster,
        log: Arc::new(group.clone()),
        host,
        signer: Arc::new(member.machine.signer()),
        clock: Clock::system(),
        stopping: Stopping::default(),
    };
    Ok((groups, Voter::new(member, Arc::new(Core::new(parts)), group, crk)))
}

async fn serve(
    groups: &Groups,
    voter: Arc<Voter>,
    lost_after: Duration,
    known: KnownVoters,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let (bans, pinned) = (BanList::new(), PinnedPeers::none());
    let (core, member) = (&voter.core, &voter.member);
    let builder = PlatformServer::builder(
        member.genesis.trust_domain.clone(),
        bans.clone(),
        pinned.clone(),
        Clock::system(),
    );
    let judge = Arc::clone(core);
    let banned = move |node| judge.state().bans().any(|ban| *ban == BanSubject::Node(node));
    let operators = OperatorsService::new(Arc::clone(core), voter.group.clone());
    let builder = services::mount(builder, core)
        .stopping(core.stopping().clone())
        .descriptors(holdfast_proto::DESCRIPTORS)
        .service(OperatorsServer::new(operators).max_encoding_message_size(MAX_REPLY_BYTES))
        .service(groups.service(Arc::new(TlsPeerAuth::new(banned))));
    let server = builder.build().await?;
    let (identity, trust) = (member.listener_identity.clone(), member.trust.clone());
    let tls = ServerTls::new(identity, trust, ClientAuth::Optional, pinned.clone())?;

    let (leaf_is_valid, valid) = watch::channel(false);
    core.await_clock();
    let mut tasks = JoinSet::new();
    tasks.spawn(voter::lead::run(Arc::clone(&voter)));
    tasks.spawn(voter::place::run(Arc::clone(&voter), lost_after));
    tasks.spawn(voter::clock::run(Arc::clone(&voter)));
    tasks.spawn(voter::identity::run(Arc::clone(&voter), leaf_is_valid));
    tasks.spawn(learn::run(Arc::clone(&voter), known.clone()));
    tracing::info!(address = %member.settings().listen, node = %core.me(), "serving");
    let health = server.health().clone();
    let stopping = groups.clone();
    let shutdown = async move {
        shutdown.await;
        // While peers still reach us, so that the next leader is there before this one is gone. Peers' streams end with the groups;
        // the drain would wait for them.
        stopping.shutdown().await;
    };
    let follower = Follower { voter: Arc::clone(&voter), bans, pinned, known, health, leaf_is_valid: valid };
    tokio::select! {
        served = server.serve(listener, tls, AcceptLimits::default(), shutdown) => Ok(served?),
        stopped = follower.run() => Err(stopped),
    }
}
