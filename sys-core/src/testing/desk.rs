//! One module behind the real guard and gate, over homes in memory.

use std::sync::Arc;

use holdfast_authz::{Policies, PolicyError};
use holdfast_certs::PinnedPeers;
use holdfast_domain::{
    AccountId, ClientId, Home, HomeId, ModuleSchema, OrgId, Role, Scope as Held, Standing, UnixMs,
};
use http::{Request, Response};
use tonic::{body::Body, server::NamedService};
use tower_service::Service;

use super::{Local, MemoryHome, MemoryHost, Standings};
use crate::{
    BanList, Clock, PlatformServer,
    gate::Gated,
    rules::{RuleError, RuleTable},
    server::StartError,
};

/// What each account's certificate says of its home.
const QUOTA_BYTES: u64 = 1 << 30;

/// One module as a server would serve it: each call goes through the guard and the gate to the handler, and from there to homes in memory.
///
/// ```ignore
/// let desk = Desk::open("notes", notes::POLICIES, api::DESCRIPTORS, notes::server()).await?;
/// desk.member(ANN, Role::User);
/// let mut ann = NotesClient::new(desk.client(ANN));
/// ann.create(..).await?;
/// ```
pub struct Desk {
    server: PlatformServer,
    host: Arc<MemoryHost>,
    standings: Arc<Standings>,
    pub(super) module: Arc<ModuleSchema>,
    pub(super) policies: Policies,
}

/// Why a module cannot be served: whatever would keep a server from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// The server says.
    #[error("the server does not start")]
    Start(#[from] StartError),
    /// Its `.proto` says.
    #[error("the module's declarations")]
    Rules(#[from] RuleError),
    /// The descriptors are of something else.
    #[error("the descriptors declare no module {0}")]
    NoModule(&'static str),
    /// Its policies say.
    #[error("the module's policies")]
    Policies(#[from] Box<PolicyError>),
}

impl Desk {
    /// The organisation that [`Self::member`] gives roles in.
    pub const ORG: HomeId = HomeId::Organisation(OrgId::new([0x0a; 16]));

    /// Serves a module: its name in its `.proto`, its policies, its descriptors and its service.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub async fn open<S>(
        module: &'static str,
        policies: &'static str,
        descriptors: &'static [u8],
        service: S,
    ) -> Result<Self, DeskError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let (host, standings) = (MemoryHost::empty(), Standings::none());
        let gated = Gated {
            module,
            policies,
            host: Arc::<MemoryHost>::clone(&host),
            standings: Arc::<Standings>::clone(&standings),
        };
        let rules = RuleTable::from_descriptors(&[descriptors])?;
        let declared = rules.modules().iter().find(|declared| declared.name == module);
        let module = Arc::clone(declared.ok_or(DeskError::NoModule(module))?);
        let policies = Policies::compile(&module, policies).map_err(Box::new)?;
        #[expect(clippy::expect_used, reason = "a constant")]
        let trust_domain = "test".parse().expect("a trust domain");
        let clock = Clock::new(|| UnixMs(0));
        let server = PlatformServer::builder(trust_domain, BanList::new(), PinnedPeers::none(), clock)
            .descriptors(holdfast_proto::DESCRIPTORS)
            .descriptors(descriptors)
            .service(service)
            .module(gated)
            .build()
            .await?;
        Ok(Self { server, host, standings, module, policies })
    }

    /// What a generated client is made of, to call as an account: `NotesClient::new(desk.client(ANN))`.
    pub fn client(&self, account: AccountId) -> Local {
        let home = Home { account, quota_bytes: QUOTA_BYTES };
        Local::client(&self.server, ClientId::new(*account.as_bytes()), home)
    }

    /// From now on an account has this role, and no other, in [`Self::ORG`].
    pub fn member(&self, account: AccountId, role: Role) {
        let mut standing = Standing::default();
        standing.hold(Held::Global, role);
        self.stand(account, Self::ORG, standing);
    }

    /// From now on an account stands like this to a home.
    pub fn stand(&self, account: AccountId, home: HomeId, standing: Standing) {
        self.standings.stand(account, home, standing);
    }

    /// What is stored in a home, with faults on demand.
    pub fn home(&self, home: HomeId) -> Arc<MemoryHome> {
        self.host.home(home)
    }

    /// The module, as it is declared.
    pub fn module(&self) -> &ModuleSchema {
        &self.module
    }
}
