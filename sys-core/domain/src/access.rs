//! Organisations, projects, roles: who stands where.
//!
//! A role is held in a scope. An organisation's admin is admin of its projects, never the other way round; of several roles in one scope
//! the highest counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{hex_id::hex_id, ids::AccountId, login::LoginId};

hex_id!(
    /// An organisation; random, drawn when it is made.
    OrgId, 16
);
hex_id!(
    /// A project of one organisation; random.
    ProjectId, 16
);

/// Where data lives: with an account, with an organisation and all of its projects, or with a name under which somebody signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HomeId {
    /// An account's own.
    Account(AccountId),
    /// An organisation's.
    Organisation(OrgId),
    /// A login name's. Nobody owns it: what is in it says whose the name is.
    Login(LoginId),
}

impl HomeId {
    /// The id's bytes, whatever its kind. They say where a home is, not which: one that is drawn may be another's of another kind.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        match self {
            Self::Account(id) => id.as_bytes(),
            Self::Organisation(id) => id.as_bytes(),
            Self::Login(id) => id.as_bytes(),
        }
    }
}

impl From<AccountId> for HomeId {
    fn from(account: AccountId) -> Self {
        Self::Account(account)
    }
}

impl From<LoginId> for HomeId {
    fn from(login: LoginId) -> Self {
        Self::Login(login)
    }
}

impl From<OrgId> for HomeId {
    fn from(organisation: OrgId) -> Self {
        Self::Organisation(organisation)
    }
}

/// What an account may do in a scope. Each includes what the ones before it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Looks on.
    Guest,
    /// Takes part.
    User,
    /// Decides who takes part.
    Admin,
    /// Decides over everything; global only, and never granted by an API.
    SuperAdmin,
}

/// A number on the wire that is no role; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no role")]
pub struct NoRole(pub i32);

impl Role {
    /// All of them, lowest first.
    pub const ALL: [Self; 4] = [Self::Guest, Self::User, Self::Admin, Self::SuperAdmin];

    /// The name in policies and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::User => "user",
            Self::Admin => "admin",
            Self::SuperAdmin => "superadmin",
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> i32 {
        match self {
            Self::Guest => 1,
            Self::User => 2,
            Self::Admin => 3,
            Self::SuperAdmin => 4,
        }
    }
}

impl TryFrom<i32> for Role {
    type Error = NoRole;

    fn try_from(number: i32) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| role.number() == number).ok_or(NoRole(number))
    }
}

/// Where a role is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// In an organisation and its projects.
    Organisation(OrgId),
    /// In one project.
    Project(ProjectId),
}

/// How an account stands to the home that a call addresses: everything that policies may know about a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Standing {
    /// The home is the account's own.
    pub owner: bool,
    /// The highest role that holds in the whole home: global or the organisation's.
    pub role: Option<Role>,
    /// The highest role that is held in each project itself; [`Self::role`] holds there too.
    pub projects: BTreeMap<ProjectId, Role>,
}

impl Standing {
    /// Adds a role; the highest of a scope counts.
    pub fn hold(&mut self, scope: Scope, role: Role) {
        match scope {
            Scope::Global | Scope::Organisation(_) => self.role = self.role.max(Some(role)),
            Scope::Project(project) => {
                let held = self.projects.entry(project).or_insert(role);
                *held = role.max(*held);
            }
        }
    }

    /// Whether the account stands in no relation to the home.
    pub fn is_stranger(&self) -> bool {
        let Self { owner, role, projects } = self;
        !owner && role.is_none() && projects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_unknown_numbers_are_no_roles() {
        for role in Role::ALL {
            assert_eq!(Role::try_from(role.number()), Ok(role));
        }
        for number in [0, -1, 5, i32::MAX] {
            assert_eq!(Role::try_from(number), Err(NoRole(number)));
        }
    }

    #[test]
    fn of_several_roles_in_a_scope_the_highest_counts_in_any_order() {
        let (org, project) = (Scope::Organisation(OrgId::new([1; 16])), ProjectId::new([2; 16]));
        let mut standing = Standing::default();
        for role in [Role::User, Role::Admin, Role::Guest] {
            standing.hold(org, role);
            standing.hold(Scope::Project(project), role);
        }
        assert_eq!(standing.role, Some(Role::Admin));
        assert_eq!(standing.projects, BTreeMap::from([(project, Role::Admin)]));
    }

    #[test]
    fn a_project_admin_is_nothing_in_the_organisation() {
        let mut standing = Standing::default();
        standing.hold(Scope::Project(ProjectId::new([2; 16])), Role::Admin);
        assert_eq!(standing.role, None);
    }
}
