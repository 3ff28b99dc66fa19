//! The gates of all modules of a server.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_authz::{Policies, PolicyError};
use holdfast_domain::{MethodRule, ModuleSchema};

use super::{
    StandingSource,
    migrate::{Migration, Migrations},
    scopes::Scopes,
};
use crate::{module::PartitionHost, query::Kind, rules::RuleTable};

/// What a module needs to be served, beside its services.
#[derive(Clone)]
pub struct Gated {
    /// Its name, as its `.proto` has it.
    pub module: &'static str,
    /// Its policies.
    pub policies: &'static str,
    /// Its tablespace in all homes of the node.
    pub host: Arc<dyn PartitionHost>,
    /// Who stands where.
    pub standings: Arc<dyn StandingSource>,
}

/// The same, and who runs it.
pub(crate) struct Given {
    gated: Gated,
    server: bool,
    steps: Vec<(Migration, &'static dyn Kind)>,
}

impl From<Gated> for Given {
    fn from(gated: Gated) -> Self {
        Self { gated, server: false, steps: Vec::new() }
    }
}

impl Given {
    /// A module that is a server of its own: policies are told that it acts for the caller.
    pub(crate) const fn server(gated: Gated) -> Self {
        Self { gated, server: true, steps: Vec::new() }
    }

    /// The module's name.
    pub(crate) const fn module(&self) -> &'static str {
        self.gated.module
    }

    /// With the ways from earlier versions.
    pub(crate) fn migrated(mut self, steps: Vec<(Migration, &'static dyn Kind)>) -> Self {
        self.steps = steps;
        self
    }
}

/// Why the modules of a server cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Checks that nobody could decide.
    #[error("module {0} declares checks, but the server was given no policies of it")]
    NoPolicies(String),
    /// Policies of something that is not served.
    #[error("the server was given policies of {0}, but serves no such module")]
    NoModule(String),
    /// Its policies.
    #[error("the policies of module {module}")]
    Policies {
        /// Which.
        module: String,
        /// What is wrong.
        #[source]
        source: Box<PolicyError>,
    },
}

/// One module's gate.
pub(super) struct Gate {
    pub(super) module: Arc<ModuleSchema>,
    pub(super) scopes: Scopes,
    pub(super) migrations: Migrations,
    pub(super) host: Arc<dyn PartitionHost>,
    pub(super) standings: Arc<dyn StandingSource>,
}

/// By the module's name.
#[derive(Clone, Default)]
pub(crate) struct Gates(pub(super) Arc<BTreeMap<String, Arc<Gate>>>);

impl Gates {
    /// Compiles the policies of all modules that are served.
    pub(crate) fn new<G: Into<Given>>(rules: &RuleTable, given: Vec<G>) -> Result<Self, GateError> {
        let mut gates = BTreeMap::new();
        for Given { gated, server, steps } in given.into_iter().map(Into::into) {
            let Gated { module: name, policies, host, standings } = gated;
            let served = rules.modules().iter().find(|module| module.name == name);
            let module = Arc::clone(served.ok_or_else(|| GateError::NoModule(name.to_owned()))?);
            let policies = Policies::compile(&module, policies).map_err(|source| GateError::Policies {
                module: name.to_owned(),
                source: Box::new(source),
            })?;
            let scopes = Scopes::new(&module, policies, server.then_some(name));
            let migrations = Migrations::new(module.version, steps);
            gates.insert(name.to_owned(), Arc::new(Gate { module, scopes, migrations, host, standings }));
        }
        let mut checked = rules.modules().iter().filter(|module| has_checks(module));
        match checked.find(|module| !gates.contains_key(&module.name)) {
            Some(open) => Err(GateError::NoPolicies(open.name.clone())),
            None => Ok(Self(Arc::new(gates))),
        }
    }
}

fn has_checks(module: &ModuleSchema) -> bool {
    module.methods.values().any(|rule| matches!(rule, MethodRule::Check(_)))
}
