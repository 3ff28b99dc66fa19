//! The rule of every method, read once from the descriptors at the start.
//!
//! Invariants: each method of each service in the table has a rule that somebody declared; the table is looked up by the exact path
//! of a method and by nothing looser; a table without rules does not exist.
//!
//! Descriptors are decoded from the bytes that the compiler wrote. `prost-types` would silently drop the options, and with them
//! every rule: [`RuleError::Undeclared`] is what catches that mistake.

mod declared;
mod foreign;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_domain::Rule;

pub use foreign::{HEALTH_SERVICE, REFLECTION_SERVICES};

/// Why there is no table, so that the server refuses to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Bytes that are no descriptors.
    #[error("descriptors cannot be read")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// The option's own declaration is missing.
    #[error("descriptors do not define the option {}", declared::RULE_OPTION)]
    NoOption,
    /// Methods that nobody thought about.
    #[error("these methods declare no rule: {}", .0.join(", "))]
    Undeclared(Vec<String>),
    /// A rule with an audience that this version does not know, or the unspecified one.
    #[error("the rule of {method} names the unknown audience {audience}")]
    Audience {
        /// The method.
        method: String,
        /// The number of the audience.
        audience: i32,
    },
    /// Two descriptors of one method.
    #[error("{0} is described twice")]
    Twice(String),
    /// A service that is served without descriptors.
    #[error("no descriptors of the service {0}")]
    Service(String),
    /// Nothing at all.
    #[error("there are no rules at all")]
    Empty,
}

/// One method as the guard sees it.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: String,
    /// `package.Service`.
    pub service: String,
    /// Who may call it.
    pub rule: Rule,
    /// The rule's name in audit events: its audiences.
    pub rule_id: String,
}

impl Method {
    fn new(service: &str, method: &str, rule: Rule) -> Self {
        let audiences: Vec<_> = rule.audiences().map(holdfast_domain::Audience::as_str).collect();
        Self {
            path: format!("/{service}/{method}"),
            service: service.to_owned(),
            rule_id: format!("allow:{}", audiences.join("+")),
            rule,
        }
    }
}

/// All methods of a server.
#[derive(Debug)]
pub struct RuleTable(BTreeMap<String, Arc<Method>>);

impl RuleTable {
    /// Reads the rules of all services in these descriptor sets and adds the foreign services'.
    ///
    /// # Errors
    /// See [`RuleError`]: all undeclared methods are named at once.
    pub fn from_descriptors(sets: &[&[u8]]) -> Result<Self, RuleError> {
        let mut declared = BTreeMap::new();
        for set in sets {
            declared::read(set, &mut declared)?;
        }
        if declared.is_empty() {
            return Err(RuleError::Empty);
        }
        let mut table = Self(BTreeMap::new());
        for method in declared.into_values().flatten().chain(foreign::methods()) {
            table.insert(method)?;
        }
        Ok(table)
    }

    /// Keeps the methods of these services only: what is not served is not known.
    ///
    /// # Errors
    /// [`RuleError::Service`] for a service that the table does not have.
    pub fn restrict(self, services: &BTreeSet<&str>) -> Result<Self, RuleError> {
        let known: BTreeSet<_> = self.0.values().map(|method| method.service.as_str()).collect();
        if let Some(missing) = services.iter().find(|service| !known.contains(*service)) {
            return Err(RuleError::Service((*missing).to_owned()));
        }
        let kept = self.0.into_iter().filter(|(_, method)| services.contains(method.service.as_str()));
        Ok(Self(kept.collect()))
    }

    /// The method with exactly this path.
    pub fn find(&self, path: &str) -> Option<&Arc<Method>> {
        self.0.get(path)
    }

    /// All methods by path.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.0.values().map(|method| &**method)
    }

    /// Number of rules, which is the number of methods.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, method: Method) -> Result<(), RuleError> {
        let path = method.path.clone();
        match self.0.insert(path.clone(), Arc::new(method)) {
            None => Ok(()),
            Some(_) => Err(RuleError::Twice(path)),
        }
    }
}

#[cfg(test)]
mod tests;
