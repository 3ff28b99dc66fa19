//! The caller as policies see it.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{
    Context, ContextCreationError, Entity, EntityAttrEvaluationError, EntityId, EntityTypeName, EntityUid,
    RestrictedExpression,
};
use holdfast_domain::{AccountId, ProjectId, Role, Standing};

/// The role of an account in its own home.
pub(crate) const OWNER: &str = "owner";

/// The id, in policies, of callers without an identity. No account's: those are hex digits.
const ANONYMOUS: &str = "anonymous";

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The account; `None` for a caller without an identity.
    pub account: Option<AccountId>,
    /// How it stands to the addressed home.
    pub standing: &'a Standing,
    /// The module server that acts for it, if one does.
    pub via: Option<&'a str>,
}

impl Subject<'_> {
    fn id(&self) -> String {
        self.account.map_or_else(|| ANONYMOUS.to_owned(), |account| account.to_string())
    }

    /// The caller's entity id.
    pub(crate) fn uid(&self, account_type: &EntityTypeName) -> EntityUid {
        EntityUid::from_type_name_and_id(account_type.clone(), EntityId::new(self.id()))
    }

    /// The caller's entity. Its parents are all roles that its own include, so that the roles need not be entities themselves.
    pub(crate) fn entity(
        &self,
        account_type: &EntityTypeName,
        role_type: &EntityTypeName,
    ) -> Result<Entity, Box<EntityAttrEvaluationError>> {
        let attributes = HashMap::from([
            ("id".to_owned(), RestrictedExpression::new_string(self.id())),
            ("guest_of".to_owned(), projects(self.standing, Role::Guest)),
            ("user_of".to_owned(), projects(self.standing, Role::User)),
            ("admin_of".to_owned(), projects(self.standing, Role::Admin)),
        ]);
        let parents: HashSet<_> = roles(self.standing)
            .into_iter()
            .map(|role| EntityUid::from_type_name_and_id(role_type.clone(), EntityId::new(role)))
            .collect();
        Entity::new(self.uid(account_type), attributes, parents).map_err(Box::new)
    }

    /// What else policies may know of the call.
    pub(crate) fn context(&self) -> Result<Context, Box<ContextCreationError>> {
        let via = self.via.map(|via| ("via".to_owned(), RestrictedExpression::new_string(via.to_owned())));
        Context::from_pairs(via).map_err(Box::new)
    }
}

/// Every role that is named in policies.
pub(crate) fn is_role(name: &str) -> bool {
    name == OWNER || Role::ALL.into_iter().any(|role| role.as_str() == name)
}

/// The roles in the whole home: each includes those below it, and an owner is a user.
fn roles(standing: &Standing) -> BTreeSet<&'static str> {
    let owned = standing.owner.then_some(Role::User);
    let highest = standing.role.max(owned);
    let included = Role::ALL.into_iter().filter(|role| Some(*role) <= highest).map(Role::as_str);
    included.chain(standing.owner.then_some(OWNER)).collect()
}

/// The projects in which a role holds that is at least this one.
fn projects(standing: &Standing, least: Role) -> RestrictedExpression {
    let held = standing.projects.iter().filter(|(_, role)| **role >= least);
    RestrictedExpression::new_set(
        held.map(|(project, _): (&ProjectId, _)| RestrictedExpression::new_string(project.to_string())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(owner: bool, role: Option<Role>) -> Standing {
        Standing { owner, role, ..Standing::default() }
    }

    #[test]
    fn each_role_includes_the_ones_before_it() {
        assert_eq!(roles(&standing(false, None)), BTreeSet::new());
        assert_eq!(roles(&standing(false, Some(Role::Guest))), BTreeSet::from(["guest"]));
        assert_eq!(roles(&standing(false, Some(Role::Admin))), BTreeSet::from(["admin", "guest", "user"]));
        assert_eq!(roles(&standing(false, Some(Role::SuperAdmin))).len(), Role::ALL.len());
    }

    #[test]
    fn an_owner_is_a_user_and_no_admin() {
        assert_eq!(roles(&standing(true, None)), BTreeSet::from(["guest", "owner", "user"]));
        assert_eq!(roles(&standing(true, Some(Role::Guest))), BTreeSet::from(["guest", "owner", "user"]));
        assert!(roles(&standing(true, Some(Role::Admin))).contains("admin"));
    }

    #[test]
    fn only_what_roles_gives_is_a_role() {
        for role in roles(&standing(true, Some(Role::SuperAdmin))) {
            assert!(is_role(role));
        }
        assert!(!is_role("admni") && !is_role("") && !is_role("Admin"));
    }
}
