//! Scopes, worked out once.
//!
//! A scope follows from the policies, the check, the account and its standing, and from nothing else: one that is kept is never stale.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use holdfast_authz::{Policies, Ruling, Scope, ScopeError, Subject};
use holdfast_domain::{AccountId, Check, ModuleSchema, Standing};

use crate::limits::{MAX_KEPT_PROJECTS, MAX_KEPT_SCOPES};

/// One module's policies, and what they said lately.
pub(super) struct Scopes {
    policies: Policies,
    /// The module server that acts for all callers, if the module is one.
    via: Option<&'static str>,
    /// By entity, then by action.
    kept: BTreeMap<String, BTreeMap<String, Kept>>,
}

type Kept = RwLock<HashMap<(Option<AccountId>, Standing), Ruled>>;

/// What the policies say to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruled {
    pub(super) scope: Scope,
    /// The policies that it follows from, for the record.
    pub(super) policies: Arc<str>,
}

impl From<Ruling> for Ruled {
    fn from(Ruling { scope, policies }: Ruling) -> Self {
        Self { scope, policies: policies.join(", ").into() }
    }
}

impl Scopes {
    pub(super) fn new(module: &ModuleSchema, policies: Policies, via: Option<&'static str>) -> Self {
        let mut kept: BTreeMap<String, BTreeMap<String, Kept>> = BTreeMap::new();
        for (action, entity) in module.actions() {
            kept.entry(entity.to_owned()).or_default().insert(action.to_owned(), Kept::default());
        }
        Self { policies, via, kept }
    }

    /// Whether a module server acts for the callers.
    pub(super) const fn are_a_servers(&self) -> bool {
        self.via.is_some()
    }

    /// The rows that a caller may do this to, and why.
    ///
    /// # Errors
    /// There is no exact answer; nothing may be shown then.
    pub(super) fn of(
        &self,
        account: Option<AccountId>,
        standing: &Standing,
        check: &Check,
    ) -> Result<Ruled, ScopeError> {
        let ask = || {
            let subject = Subject { account, standing, via: self.via };
            self.policies.ruling(&subject, check).map(Ruled::from)
        };
        let kept = self.kept.get(&check.entity).and_then(|actions| actions.get(&check.action));
        let small = standing.projects.len() <= MAX_KEPT_PROJECTS;
        let (Some(kept), true) = (kept, small) else { return ask() };
        let key = (account, standing.clone());
        if let Some(ruled) = kept.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(ruled.clone());
        }
        let ruled = ask()?;
        let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT_SCOPES {
            // All of them: whoever still calls is back at once.
            kept.clear();
        }
        kept.insert(key, ruled.clone());
        Ok(ruled)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use holdfast_domain::Role;

    use super::*;
    use crate::gate::tests::{POLICIES, rules};

    #[test]
    fn kept_scopes_are_those_of_the_policies_for_each_caller_and_are_bounded() {
        let rules = rules();
        let module = &rules.modules()[0];
        let policies = || Policies::compile(module, POLICIES).unwrap();
        let (scopes, fresh) = (Scopes::new(module, policies(), None), policies());
        let mut seen = BTreeSet::new();
        for number in 0..u16::try_from(MAX_KEPT_SCOPES + 10).unwrap() {
            let [high, low] = number.to_be_bytes();
            let mut id = [0; AccountId::LEN];
            (id[0], id[1]) = (high, low);
            let role = [None, Some(Role::User), Some(Role::Admin)][usize::from(number % 3)];
            let standing = Standing { owner: number % 5 == 0, role, ..Standing::default() };
            let account = Some(AccountId::new(id));
            let subject = Subject { account, standing: &standing, via: None };
            let check = Check { action: "get".to_owned(), entity: "Note".to_owned(), unfiltered: None };
            let first = scopes.of(account, &standing, &check).unwrap();
            assert_eq!(first, scopes.of(account, &standing, &check).unwrap());
            if number < 60 {
                assert_eq!(first.scope, fresh.scope(&subject, &check).unwrap());
                seen.insert(first.scope);
            }
            assert!(scopes.kept["Note"]["get"].read().unwrap().len() <= MAX_KEPT_SCOPES);
        }
        assert!(seen.len() > 10, "rows of many authors");
    }
}
