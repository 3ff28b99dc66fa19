//! `holdfast org`, `holdfast project` and `holdfast member`.

mod member;
mod org;
mod project;

use std::str::FromStr;

use holdfast_domain::{AccountId, IdError, OrgId, ProjectId};

use super::{app::App, failure::Failure};
use crate::organisations::{Organisation, Project};

pub(super) use member::{MemberCommand, run as run_member};
pub(super) use org::{OrgCommand, run as run_org};
pub(super) use project::{ProjectCommand, run as run_project};

/// An account on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    Me,
    Id(AccountId),
}

impl FromStr for Account {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "me" => Ok(Self::Me),
            id => id.parse().map(Self::Id),
        }
    }
}

/// One organisation, and who asks.
struct Desk {
    organisation: Organisation,
    me: AccountId,
}

impl Desk {
    async fn open(app: &App, id: OrgId) -> Result<Self, Failure> {
        let client = app.client().await?;
        Ok(Self { organisation: client.organisation(id), me: client.info().description.account })
    }

    const fn account(&self, account: Account) -> AccountId {
        match account {
            Account::Me => self.me,
            Account::Id(id) => id,
        }
    }

    /// Projects by their ids or names.
    async fn projects(&self, named: &[String]) -> Result<Vec<ProjectId>, Failure> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.organisation.projects().await?;
        named.iter().map(|name| find(&known, name)).collect()
    }

    async fn project(&self, named: &str) -> Result<ProjectId, Failure> {
        find(&self.organisation.projects().await?, named)
    }
}

/// The project of this name or, if none has it, of this id.
fn find(known: &[Project], named: &str) -> Result<ProjectId, Failure> {
    let by_name = || known.iter().find(|project| project.name == named);
    let by_id = || known.iter().find(|project| project.id.to_string() == named);
    let none =
        || Failure::Usage(format!("you see no project {named:?}: `holdfast project list ORG` lists them"));
    by_name().or_else(by_id).map(|project| project.id).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use holdfast_domain::UnixMs;

    use super::*;

    #[test]
    fn a_project_is_found_by_name_then_by_id() {
        let project = |id: u8, name: &str| Project {
            id: ProjectId::new([id; 16]),
            name: name.to_owned(),
            created: UnixMs(0),
            closing: false,
        };
        let confusing = ProjectId::new([1; 16]).to_string();
        let known = [project(1, "a"), project(2, "b"), project(3, &confusing)];
        assert_eq!(find(&known, "b").unwrap(), ProjectId::new([2; 16]));
        assert_eq!(find(&known, &ProjectId::new([2; 16]).to_string()).unwrap(), ProjectId::new([2; 16]));
        assert_eq!(find(&known, &confusing).unwrap(), ProjectId::new([3; 16]));
        assert!(matches!(find(&known, "c"), Err(Failure::Usage(_))));
    }

    #[test]
    fn an_account_is_an_id_or_me() {
        assert_eq!("me".parse(), Ok(Account::Me));
        assert_eq!("01".repeat(16).parse(), Ok(Account::Id(AccountId::new([1; 16]))));
        assert!("ann".parse::<Account>().is_err());
    }
}
