//! What other modules' gates are told.

use std::sync::Arc;

use holdfast_accounts_api::v1::Membership;
use holdfast_domain::{AccountId, GroupId, HomeId, LoginId, MapEpoch, OrgId, ProjectId, Role, Standing};
use holdfast_sys_core::{
    gate::{HomeStanding, StandingSource as _},
    module::{Freshness, RecordKey, RouteInfo},
    query::Entity as _,
    testing::MemoryHost,
};

use super::desk::{ALL, Desk, ORG, grant, scope_of};
use crate::{Memberships, limits::ORGANISATION_QUOTA_BYTES};

async fn standing(desk: &Desk, account: u8, home: impl Into<HomeId>) -> HomeStanding {
    let source = Memberships::new(Arc::<MemoryHost>::clone(&desk.host));
    let route = RouteInfo { map_epoch: MapEpoch(1), group: GroupId(1), freshness: Freshness::Newest };
    source.standing(Some(AccountId::new([account; 16])), home.into(), route).await.unwrap()
}

#[tokio::test]
async fn the_owner_is_an_admin_and_members_hold_what_they_were_given() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let project = ann.create_project("P").await.unwrap();
    ann.put(2, [grant(ALL, Role::Guest), grant(&scope_of(&project), Role::Admin)]).await.unwrap();
    let owner = standing(&desk, 1, ORG).await;
    assert_eq!(owner.standing, Standing { role: Some(Role::Admin), ..Standing::default() });
    assert_eq!(owner.quota_bytes, ORGANISATION_QUOTA_BYTES);
    let Standing { owner, role, projects } = standing(&desk, 2, ORG).await.standing;
    let id = ProjectId::try_from(&*project.id).unwrap();
    assert_eq!((owner, role), (false, Some(Role::Guest)));
    assert_eq!(projects, [(id, Role::Admin)].into());
}

#[tokio::test]
async fn everybody_else_is_a_stranger_everywhere_else() {
    let desk = Desk::with_organisation().await;
    assert!(standing(&desk, 2, ORG).await.standing.is_stranger());
    assert!(standing(&desk, 1, OrgId::new([1; 16])).await.standing.is_stranger());
    for home in [1, 2] {
        assert_eq!(standing(&desk, 1, AccountId::new([home; 16])).await, HomeStanding::default());
    }
}

#[tokio::test]
async fn an_organisation_that_ended_has_strangers_only() {
    let desk = Desk::with_organisation().await;
    while !desk.person(1).delete().await.unwrap() {}
    assert!(standing(&desk, 1, ORG).await.standing.is_stranger());
}

#[tokio::test]
async fn a_global_role_holds_in_organisations_that_there_are_and_nowhere_else() {
    let desk = Desk::with_organisation().await;
    let global = |account| (account == AccountId::new([5; 16])).then_some(Role::Admin);
    let source = Memberships::new(Arc::<MemoryHost>::clone(&desk.host)).with_global_roles(Arc::new(global));
    let route = RouteInfo { map_epoch: MapEpoch(1), group: GroupId(1), freshness: Freshness::Newest };
    let role = async |account: u8, home: HomeId| {
        let account = Some(AccountId::new([account; 16]));
        source.standing(account, home, route).await.unwrap().standing
    };
    assert_eq!(role(5, ORG.into()).await.role, Some(Role::Admin));
    assert!(role(6, ORG.into()).await.is_stranger());
    let elsewhere: [HomeId; 3] =
        [OrgId::new([9; 16]).into(), AccountId::new([1; 16]).into(), LoginId::new([1; 16]).into()];
    for home in elsewhere {
        assert!(role(5, home).await.is_stranger(), "{home:?}");
    }
    assert!(source.standing(None, ORG.into(), route).await.unwrap().standing.is_stranger());
}

#[tokio::test]
async fn a_role_that_nobody_can_give_gives_nothing() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    ann.put(2, [grant(ALL, Role::User)]).await.unwrap();
    let home = desk.host.home(ORG.into());
    let key = RecordKey::new([
        b"membership".to_vec(),
        b"torganisation".to_vec(),
        format!("t{}", "02".repeat(16)).into(),
    ]);
    for role in [0, 4, 5] {
        let account = vec![2; 16].into();
        let row = Membership { scope: ALL.to_owned(), account, role, since_ms: 0 };
        home.plant(key.clone().unwrap(), row.encode());
        assert!(standing(&desk, 2, ORG).await.standing.is_stranger(), "{role}");
    }
}
