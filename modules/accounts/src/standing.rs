//! Who stands how to an organisation's home, for the gates of all modules.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_accounts_api::{
    Place,
    v1::{Life, Membership, Organisation},
};
use holdfast_domain::{AccountId, HomeId, OrgId, Role, Scope, Standing};
use holdfast_sys_core::{
    Refusal,
    gate::{HomeAccess, HomeStanding, StandingSource, standing_table},
    module::{Partition, PartitionHost, RouteInfo},
    query::{By, QueryError, Stored, Table},
};

use crate::{
    limits::{LOGIN_QUOTA_BYTES, MAX_PROJECTS, ORGANISATION_QUOTA_BYTES},
    page::up_to,
    rows::key,
};

/// Reads the organisation and the account's memberships in each call: two reads at a time, no cache, so a role that was taken is gone with
/// the next call.
pub struct Memberships {
    host: Arc<dyn PartitionHost>,
    global: GlobalRoles,
}

/// The role that an account holds everywhere, as far as it is known here.
pub type GlobalRoles = Arc<dyn Fn(AccountId) -> Option<Role> + Send + Sync>;

impl Memberships {
    /// Over the accounts module's own tablespace.
    pub fn new(host: Arc<dyn PartitionHost>) -> Self {
        Self { host, global: Arc::new(|_| None) }
    }

    /// With roles that hold in all organisations there are. What lies with an account or a login is nobody else's, whatever his role.
    #[must_use]
    pub fn with_global_roles(self, global: GlobalRoles) -> Self {
        Self { global, ..self }
    }
}

#[async_trait]
impl StandingSource for Memberships {
    async fn standing(
        &self,
        account: Option<AccountId>,
        home: HomeId,
        route: RouteInfo,
    ) -> Result<HomeStanding, Refusal> {
        // Nobody but himself stands in any relation to an account's home, and nobody at all to a login's.
        let (id, account) = match (home, account) {
            (HomeId::Organisation(id), Some(account)) => (id, account),
            (HomeId::Login(_), _) => {
                return Ok(HomeStanding { quota_bytes: LOGIN_QUOTA_BYTES, ..HomeStanding::default() });
            }
            (HomeId::Organisation(_) | HomeId::Account(_), _) => return Ok(HomeStanding::default()),
        };
        let partition = self.host.partition(&HomeAccess::of_standings(home), route).await?;
        let (organisation, memberships) = tokio::try_join!(
            organisation(Arc::clone(&partition), id),
            memberships(Arc::clone(&partition), account),
        )?;
        let mut standing = Standing::default();
        if let Some(row) = organisation {
            standing = stand(id, &row, account, &memberships);
            (self.global)(account).into_iter().for_each(|role| standing.hold(Scope::Global, role));
        }
        Ok(HomeStanding { standing, quota_bytes: ORGANISATION_QUOTA_BYTES })
    }
}

/// The organisation, if there is one that has not ended.
async fn organisation(partition: Arc<dyn Partition>, id: OrgId) -> Result<Option<Organisation>, Refusal> {
    let table: Table<Organisation> = standing_table(partition, crate::MODULE);
    match table.get(&key(id)?).await {
        Ok(stored) => Ok(Some(stored.into_row()).filter(|row| row.life() != Life::Ended)),
        Err(QueryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn memberships(
    partition: Arc<dyn Partition>,
    account: AccountId,
) -> Result<Vec<Stored<Membership>>, Refusal> {
    let table = standing_table(partition, crate::MODULE);
    up_to(MAX_PROJECTS + 1, &table, &By::Index("account".to_owned(), account.to_string().into())).await
}

/// What the rows say. One that makes no sense gives nothing.
fn stand(
    id: OrgId,
    organisation: &Organisation,
    account: AccountId,
    memberships: &[Stored<Membership>],
) -> Standing {
    let mut standing = Standing::default();
    if organisation.owner == account.as_bytes().as_slice() {
        standing.hold(Scope::Organisation(id), Role::Admin);
    }
    for membership in memberships.iter().map(Stored::row) {
        let Some(role) = Role::try_from(membership.role).ok().filter(|role| *role <= Role::Admin) else {
            continue;
        };
        match membership.scope.parse() {
            Ok(Place::Organisation) => standing.hold(Scope::Organisation(id), role),
            Ok(Place::Project(project)) => standing.hold(Scope::Project(project), role),
            Err(_) => {}
        }
    }
    standing
}
