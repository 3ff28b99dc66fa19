//! The rule of every method, read once from the descriptors at the start.
//!
//! Invariants: each method of each service in the table has a rule that somebody declared; the table is looked up by the exact path
//! of a method and by nothing looser; a table without rules does not exist. The reading is [`holdfast_proto::declared`]'s.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_domain::ModuleSchema;
use holdfast_proto::declared::Declared;

pub use holdfast_proto::declared::{DeclareError, HEALTH_SERVICE, Method, REFLECTION_SERVICES};

/// Why there is no table, so that the server refuses to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// What the `.proto` files declare is not complete, or contradicts itself.
    #[error(transparent)]
    Declared(#[from] DeclareError),
    /// A service that is served without descriptors.
    #[error("no descriptors of the service {0}; give the server those of its `.proto`")]
    Service(String),
}

/// All methods of a server, and the modules that they belong to.
#[derive(Debug)]
pub struct RuleTable {
    methods: BTreeMap<String, Arc<Method>>,
    modules: Vec<Arc<ModuleSchema>>,
}

impl RuleTable {
    /// Reads the rules of all services in these descriptor sets and adds the foreign services'.
    ///
    /// # Errors
    /// See [`DeclareError`]: all undeclared methods are named at once.
    pub fn from_descriptors(sets: &[&[u8]]) -> Result<Self, RuleError> {
        let (methods, modules) = Declared::read(sets)?.into_parts();
        let methods = methods.into_iter().map(|(path, method)| (path, Arc::new(method))).collect();
        Ok(Self { methods, modules })
    }

    /// Keeps the methods of these services only, and their modules: what is not served is not known.
    ///
    /// # Errors
    /// [`RuleError::Service`] for a service that the table does not have.
    pub fn restrict(self, services: &BTreeSet<&str>) -> Result<Self, RuleError> {
        let Self { mut methods, mut modules } = self;
        let known: BTreeSet<_> = methods.values().map(|method| method.service.as_str()).collect();
        if let Some(missing) = services.iter().find(|service| !known.contains(*service)) {
            return Err(RuleError::Service((*missing).to_owned()));
        }
        methods.retain(|_, method| services.contains(method.service.as_str()));
        let served: BTreeSet<_> = methods
            .values()
            .filter_map(|method| method.module.as_ref())
            .map(|module| &*module.name)
            .collect();
        modules.retain(|module| served.contains(&*module.name));
        Ok(Self { methods, modules })
    }

    /// The method with exactly this path.
    pub fn find(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// All methods by path.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values().map(|method| &**method)
    }

    /// All modules.
    pub fn modules(&self) -> &[Arc<ModuleSchema>] {
        &self.modules
    }

    /// Number of rules, which is the number of methods.
    pub fn len(&self) -> usize {
        self.methods.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests;
