//! Putting a server together, or refusing to.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use holdfast_certs::PinnedPeers;
use holdfast_domain::TrustDomain;
use holdfast_proto::module::v1::capabilities_server::CapabilitiesServer;
use http::{Request, Response};
use tonic::{body::Body, server::NamedService};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower_service::Service;

use super::{
    Health, Stopping,
    routes::{Mounts, Routes},
};
use crate::{
    authn::Authenticator,
    bans::BanList,
    clock::Clock,
    gate::{CapabilitiesService, GateError, Gated, Gates, Given, Migration, StandingSource},
    guard::Guard,
    module::PartitionHost,
    query::{Kind, MessageSchema},
    remote::{ModuleServer, Remotes},
    rules::{HEALTH_SERVICE, REFLECTION_SERVICES, RuleError, RuleTable},
    session::{SessionSettings, Sessions, SessionsService},
};

/// A server that is ready to listen. Clones share state, so that one server can have several listeners.
#[derive(Clone)]
pub struct PlatformServer {
    pub(crate) routes: Routes,
    pub(crate) remotes: Remotes,
    pub(crate) guard: Guard,
    pub(super) health: Health,
    pub(super) bans: BanList,
    pub(super) pinned: PinnedPeers,
    pub(super) clock: Clock,
    pub(super) stopping: Stopping,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A method that nobody declared a rule for, or worse.
    #[error("the server refuses to start: its rules are not complete")]
    Rules(#[from] RuleError),
    /// A module whose checks nobody could decide.
    #[error("the server refuses to start: its policies are not complete")]
    Gates(#[from] GateError),
    /// A module's version that no way leads to, or a way that leads nowhere.
    #[error("the server refuses to start: module {module}: {problem}")]
    Migration {
        /// Which.
        module: String,
        /// What is wrong.
        problem: String,
    },
    /// Descriptors that reflection cannot serve.
    #[error("reflection cannot be set up")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Collects a server's services and their descriptors.
pub struct Builder {
    authenticator: Authenticator,
    bans: BanList,
    pinned: PinnedPeers,
    clock: Clock,
    stopping: Stopping,
    descriptors: Vec<&'static [u8]>,
    services: BTreeSet<&'static str>,
    gated: Vec<Given>,
    remote: Vec<ModuleServer>,
    migrations: Vec<(&'static str, &'static [Migration])>,
    sessions: Option<Sessions>,
    mounts: Mounts,
}

impl PlatformServer {
    /// A server for identities of one trust domain. `pinned` holds the keys of the registry's voters (none on a shard node).
    pub fn builder(trust_domain: TrustDomain, bans: BanList, pinned: PinnedPeers, clock: Clock) -> Builder {
        let authenticator = Authenticator::new(trust_domain, bans.clone(), pinned.clone(), clock.clone());
        Builder {
            authenticator,
            bans,
            pinned,
            clock,
            stopping: Stopping::default(),
            descriptors: Vec::new(),
            services: BTreeSet::new(),
            gated: Vec::new(),
            remote: Vec::new(),
            migrations: Vec::new(),
            sessions: None,
            mounts: Mounts::default(),
        }
    }

    /// For whoever knows when the server is ready.
    pub const fn health(&self) -> &Health {
        &self.health
    }
}

impl Builder {
    /// Adds descriptor bytes as the compiler encoded them; they may describe more services than are served. A set that is there already is
    /// not read twice.
    #[must_use]
    pub fn descriptors(mut self, set: &'static [u8]) -> Self {
        if !self.descriptors.contains(&set) {
            self.descriptors.push(set);
        }
        self
    }

    /// What endless streams of the services select on: it begins when the server begins to stop.
    #[must_use]
    pub fn stopping(mut self, stopping: Stopping) -> Self {
        self.stopping = stopping;
        self
    }

    /// Mounts a service behind the guard.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.services.insert(S::NAME);
        self.mounts.add(service);
        self
    }

    /// Adds what a module needs beside its services: its policies, and the homes that they are about. A server with modules tells its
    /// callers their capabilities, too.
    #[must_use]
    pub fn module(mut self, gated: Gated) -> Self {
        self.gated.push(gated.into());
        self
    }

    /// Adds the ways of a module's rows from its earlier versions to this one.
    #[must_use]
    pub fn migrations(mut self, module: &'static str, steps: &'static [Migration]) -> Self {
        self.migrations.push((module, steps));
        self
    }

    /// Adds a module that is a server of its own, over these homes and roles.
    #[must_use]
    pub fn module_server(
        mut self,
        server: &ModuleServer,
        host: Arc<dyn PartitionHost>,
        standings: Arc<dyn StandingSource>,
    ) -> Self {
        self.services.extend(&server.services);
        self.gated.push(Given::server(server.gated(host, standings)));
        self.remote.push(server.clone());
        self.descriptors(server.descriptors)
    }

    /// Lets clients that show no certificate sign in, and be callers like any others for a while.
    #[must_use]
    pub fn sessions(mut self, settings: SessionSettings) -> Self {
        let sessions = Sessions::new(settings, self.bans.clone(), self.clock.clone());
        self.sessions = Some(sessions.clone());
        self.descriptors(holdfast_proto::DESCRIPTORS).service(SessionsService::server(sessions))
    }

    /// Checks the rules, compiles the policies, adds health and reflection.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(mut self) -> Result<PlatformServer, StartError> {
        self.services.insert(HEALTH_SERVICE);
        self.services.extend(REFLECTION_SERVICES);
        let modules = !self.gated.is_empty();
        if modules {
            self = self.descriptors(holdfast_proto::DESCRIPTORS);
            self.services.insert(CapabilitiesServer::<CapabilitiesService>::NAME);
        }
        let rules = RuleTable::from_descriptors(&self.descriptors)?.restrict(&self.services)?;
        tracing::info!(
            rules = rules.len(),
            services = self.services.len(),
            modules = rules.modules().len(),
            "every method has its rule"
        );
        let health = Health::starting().await;
        let Self {
            authenticator,
            bans,
            pinned,
            clock,
            stopping,
            descriptors,
            services,
            gated,
            remote,
            migrations,
            sessions,
            mut mounts,
        } = self;
        let gated = migrating(&rules, &descriptors, gated, &migrations)?;
        let gates = Gates::new(&rules, gated)?;
        if modules {
            mounts.add(CapabilitiesService::server(gates.clone()));
        }
        mounts.add(HealthServer::new(HealthService::from_health_reporter(health.reporter())));
        mounts.add(reflection(&descriptors, &services).build_v1()?);
        mounts.add(reflection(&descriptors, &services).build_v1alpha()?);
        let routes = Routes::from(mounts);
        let guard = Guard::new(rules, authenticator, gates, sessions);
        let remotes = Remotes::new(&remote);
        Ok(PlatformServer { routes, remotes, guard, health, bans, pinned, clock, stopping })
    }
}

/// Modules with the ways from their earlier versions, each with the kind of the rows that it is about.
fn migrating(
    rules: &RuleTable,
    sets: &[&[u8]],
    gated: Vec<Given>,
    given: &[(&'static str, &'static [Migration])],
) -> Result<Vec<Given>, StartError> {
    let with_steps = |one: Given| {
        let name = one.module();
        let Some(module) = rules.modules().iter().find(|module| module.name == name) else { return Ok(one) };
        let wrong = |problem: String| StartError::Migration { module: name.to_owned(), problem };
        let mut steps: Vec<(Migration, &'static dyn Kind)> = Vec::new();
        for step in given.iter().filter(|(of, _)| *of == name).flat_map(|(_, steps)| *steps) {
            let Migration { to, table, step: _ } = step;
            let entity = module.entities.iter().find(|entity| entity.table == *table);
            if entity.is_none() || !(2..=module.version).contains(to) {
                return Err(wrong(format!("there is no version {to} above 1 of a table {table}")));
            }
            let kinds = sets.iter().filter_map(|set| MessageSchema::entities(set, module).ok()).flatten();
            let kind = kinds.into_iter().find(|kind| Some(kind.entity()) == entity);
            let kind = kind.ok_or_else(|| wrong(format!("no descriptors of the table {table}")))?;
            // Kept for as long as the program runs, as the descriptors are.
            steps.push((*step, Box::leak(Box::new(kind))));
        }
        match (2..=module.version).find(|to| !steps.iter().any(|(step, _)| step.to == *to)) {
            Some(to) => Err(wrong(format!("no way leads to version {to}"))),
            None => Ok(one.migrated(steps)),
        }
    };
    gated.into_iter().map(with_steps).collect()
}

/// Reflection over the services that are served.
fn reflection<'a>(
    descriptors: &[&'a [u8]],
    services: &BTreeSet<&'static str>,
) -> tonic_reflection::server::Builder<'a> {
    let served = services.iter().filter(|service| !service.starts_with("grpc."));
    let builder = served.fold(tonic_reflection::server::Builder::configure(), |builder, service| {
        builder.with_service_name(*service)
    });
    descriptors.iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
}
