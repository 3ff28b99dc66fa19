//! Scopes, worked out once.
//!
//! A scope follows from the policies, the check, the account and its standing, and from nothing else: one that is kept is never stale.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{PoisonError, RwLock},
};

use holdfast_authz::{Policies, Scope, ScopeError, Subject};
use holdfast_domain::{AccountId, Check, ModuleSchema, Standing};

use crate::limits::{MAX_KEPT_PROJECTS, MAX_KEPT_SCOPES};

/// One module's policies, and what they said lately.
pub(super) struct Scopes {
    policies: Policies,
    /// By entity, then by action.
    kept: BTreeMap<String, BTreeMap<String, Kept>>,
}

type Kept = RwLock<HashMap<(Option<AccountId>, Standing), Scope>>;

impl Scopes {
    pub(super) fn new(module: &ModuleSchema, policies: Policies) -> Self {
        let mut kept: BTreeMap<String, BTreeMap<String, Kept>> = BTreeMap::new();
        for (action, entity) in module.actions() {
            kept.entry(entity.to_owned()).or_default().insert(action.to_owned(), Kept::default());
        }
        Self { policies, kept }
    }

    /// The rows that a caller may do this to.
    ///
    /// # Errors
    /// There is no exact answer; nothing may be shown then.
    pub(super) fn of(&self, subject: &Subject<'_>, check: &Check) -> Result<Scope, ScopeError> {
        let kept = self.kept.get(&check.entity).and_then(|actions| actions.get(&check.action));
        let small = subject.via.is_none() && subject.standing.projects.len() <= MAX_KEPT_PROJECTS;
        let (Some(kept), true) = (kept, small) else { return self.policies.scope(subject, check) };
        let key = (subject.account, subject.standing.clone());
        if let Some(scope) = kept.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(scope.clone());
        }
        let scope = self.policies.scope(subject, check)?;
        let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT_SCOPES {
            // All of them: whoever still calls is back at once.
            kept.clear();
        }
        kept.insert(key, scope.clone());
        Ok(scope)
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
        let (scopes, fresh) = (Scopes::new(module, policies()), policies());
        let mut seen = BTreeSet::new();
        for number in 0..u16::try_from(MAX_KEPT_SCOPES + 10).unwrap() {
            let [high, low] = number.to_be_bytes();
            let mut id = [0; AccountId::LEN];
            (id[0], id[1]) = (high, low);
            let role = [None, Some(Role::User), Some(Role::Admin)][usize::from(number % 3)];
            let standing = Standing { owner: number % 5 == 0, role, ..Standing::default() };
            let subject = Subject { account: Some(AccountId::new(id)), standing: &standing, via: None };
            let check = Check { action: "get".to_owned(), entity: "Note".to_owned(), unfiltered: None };
            let first = scopes.of(&subject, &check).unwrap();
            assert_eq!(first, scopes.of(&subject, &check).unwrap());
            if number < 60 {
                assert_eq!(first, fresh.scope(&subject, &check).unwrap());
                seen.insert(first);
            }
            assert!(scopes.kept["Note"]["get"].read().unwrap().len() <= MAX_KEPT_SCOPES);
        }
        assert!(seen.len() > 10, "rows of many authors");
    }
}
