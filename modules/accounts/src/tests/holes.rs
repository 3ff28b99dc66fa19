//! Holes that systems of this kind had, each tried here: see the design's list, whose numbers these names carry.

use holdfast_accounts_api::v1::ListMembersRequest;
use holdfast_domain::{Reason, Role};

use super::desk::{ALL, Desk, grant, reason, scope_of};

const GIVEN: [Role; 3] = [Role::Guest, Role::User, Role::Admin];

#[tokio::test]
async fn hole_01_a_member_does_not_make_himself_admin_or_superadmin() {
    let desk = Desk::with_organisation().await;
    let owner = desk.person(1);
    let project = owner.create_project("P").await.unwrap();
    let scope = scope_of(&project);
    for role in GIVEN {
        owner.put(2, [grant(ALL, role)]).await.unwrap();
        let member = desk.person(2);
        for wanted in Role::ALL {
            for place in [ALL, &scope] {
                let refused = reason(member.put(2, [grant(place, wanted)]).await);
                assert_eq!(refused, Reason::NotPermitted, "{role:?} to {wanted:?} in {place}");
            }
        }
        assert_eq!(owner.members(ALL).await.unwrap(), [(2, role.number())]);
        assert_eq!(owner.members(&scope).await.unwrap(), []);
    }
}

#[tokio::test]
async fn hole_01_nobody_makes_a_superadmin_or_a_role_that_is_none() {
    let desk = Desk::with_organisation().await;
    let owner = desk.person(1);
    assert_eq!(reason(owner.put(2, [grant(ALL, Role::SuperAdmin)]).await), Reason::NotPermitted);
    for number in [0, -1, 5, i32::MAX] {
        let grant = holdfast_accounts_api::v1::Grant { scope: ALL.to_owned(), role: number };
        assert_eq!(reason(owner.put(2, [grant]).await), Reason::Malformed);
    }
    assert_eq!(owner.members("").await.unwrap(), []);
}

#[tokio::test]
async fn hole_03_a_project_admin_is_no_organisation_admin() {
    let desk = Desk::with_organisation().await;
    let (owner, admin) = (desk.person(1), desk.person(2));
    let (ours, theirs) =
        (owner.create_project("ours").await.unwrap(), owner.create_project("theirs").await.unwrap());
    owner.put(2, [grant(&scope_of(&ours), Role::Admin)]).await.unwrap();
    owner.put(4, [grant(ALL, Role::User)]).await.unwrap();
    admin.put(3, [grant(&scope_of(&ours), Role::Admin)]).await.unwrap();
    for place in [ALL, &scope_of(&theirs)] {
        assert_eq!(reason(admin.put(3, [grant(place, Role::Guest)]).await), Reason::NotPermitted);
        assert_eq!(reason(admin.remove(place, 4).await), Reason::NotFound);
    }
    assert_eq!(reason(admin.rename("Mine").await), Reason::NotPermitted);
    assert_eq!(reason(admin.create_project("more").await), Reason::NotPermitted);
    assert_eq!(reason(admin.rename_project(&ours, "mine").await), Reason::NotPermitted);
    assert_eq!(reason(admin.delete_project(&ours).await), Reason::NotPermitted);
    assert_eq!(reason(admin.transfer(2).await), Reason::NotPermitted);
    assert_eq!(admin.projects().await.unwrap(), ["ours"]);
}

#[tokio::test]
async fn hole_03_an_organisations_admin_is_admin_of_its_projects() {
    let desk = Desk::with_organisation().await;
    let (owner, admin) = (desk.person(1), desk.person(2));
    owner.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    let project = owner.create_project("P").await.unwrap();
    admin.put(3, [grant(&scope_of(&project), Role::User)]).await.unwrap();
    assert_eq!(admin.members(&scope_of(&project)).await.unwrap(), [(3, 2)]);
    admin.remove(&scope_of(&project), 3).await.unwrap();
    admin.rename_project(&project, "Q").await.unwrap();
}

#[tokio::test]
async fn hole_03_of_several_roles_the_highest_counts() {
    let desk = Desk::with_organisation().await;
    let (owner, member) = (desk.person(1), desk.person(2));
    let mut projects = Vec::new();
    for name in ["a", "b", "c"] {
        projects.push(scope_of(&owner.create_project(name).await.unwrap()));
    }
    // Lower ones in the organisation and in other projects, before and after it.
    for (project, role) in projects.iter().zip([Role::Guest, Role::Admin, Role::User]) {
        owner.put(2, [grant(ALL, Role::Guest), grant(project, role)]).await.unwrap();
    }
    for (project, may) in projects.iter().zip([false, true, false]) {
        assert_eq!(member.put(3, [grant(project, Role::User)]).await.is_ok(), may);
    }
    // And where the organisation's is the highest.
    owner.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    member.put(3, projects.iter().map(|project| grant(project, Role::User))).await.unwrap();
}

#[tokio::test]
async fn hole_04_every_role_of_a_request_is_checked_and_one_that_may_not_be_given_stops_all() {
    let desk = Desk::with_organisation().await;
    let (owner, admin) = (desk.person(1), desk.person(2));
    let (ours, theirs) =
        (owner.create_project("ours").await.unwrap(), owner.create_project("theirs").await.unwrap());
    let (ours, theirs) = (scope_of(&ours), scope_of(&theirs));
    owner.put(2, [grant(&ours, Role::Admin)]).await.unwrap();
    let may = grant(&ours, Role::User);
    for may_not in [grant(&theirs, Role::Guest), grant(ALL, Role::Guest), grant(ALL, Role::SuperAdmin)] {
        for grants in [[may.clone(), may_not.clone()], [may_not.clone(), may.clone()]] {
            assert_eq!(reason(admin.put(3, grants).await), Reason::NotPermitted);
        }
    }
    assert_eq!(owner.members("").await.unwrap(), [(2, 3)]);
    assert_eq!(reason(owner.put(3, [may.clone(), may.clone()]).await), Reason::Malformed, "twice");
    assert_eq!(reason(owner.put(3, []).await), Reason::Malformed);
    assert_eq!(reason(owner.put(3, vec![may; 17]).await), Reason::Malformed);
}

#[tokio::test]
async fn hole_13_lists_without_rights_give_nothing() {
    let desk = Desk::with_organisation().await;
    let (owner, stranger, guest) = (desk.person(1), desk.person(2), desk.person(3));
    let (ours, theirs) =
        (owner.create_project("ours").await.unwrap(), owner.create_project("theirs").await.unwrap());
    owner.put(4, [grant(ALL, Role::User), grant(&scope_of(&theirs), Role::User)]).await.unwrap();
    assert_eq!(reason(stranger.get().await), Reason::NotPermitted);
    assert_eq!(reason(stranger.projects().await), Reason::NotPermitted);
    for scope in ["", ALL, &scope_of(&ours)] {
        assert_eq!(reason(stranger.members(scope).await), Reason::NotPermitted);
    }
    // Whoever has rights in one place sees that place.
    owner.put(3, [grant(&scope_of(&ours), Role::Guest)]).await.unwrap();
    assert_eq!(guest.projects().await.unwrap(), ["ours"]);
    assert_eq!(guest.members("").await.unwrap(), [(3, 1)]);
    for scope in [ALL, &scope_of(&theirs)] {
        assert_eq!(guest.members(scope).await.unwrap(), []);
    }
}

#[tokio::test]
async fn hole_11_a_filter_of_the_caller_neither_names_columns_nor_reaches_beyond_his_rows() {
    let desk = Desk::with_organisation().await;
    let (owner, guest) = (desk.person(1), desk.person(3));
    let (ours, theirs) =
        (owner.create_project("ours").await.unwrap(), owner.create_project("theirs").await.unwrap());
    owner.put(4, [grant(ALL, Role::Admin), grant(&scope_of(&theirs), Role::User)]).await.unwrap();
    owner.put(3, [grant(&scope_of(&ours), Role::Guest)]).await.unwrap();
    for column in
        ["role", "account", "1=1", "organisation' OR '1'='1", "%", "*", "../organisation", "scope\0"]
    {
        assert_eq!(reason(guest.members(column).await), Reason::Malformed, "{column:?}");
    }
    for wanted in ["", ALL, &scope_of(&ours), &scope_of(&theirs)] {
        let seen = guest.members(wanted).await.unwrap();
        let his_own = wanted.is_empty() || wanted == scope_of(&ours);
        assert_eq!(seen, if his_own { vec![(3, 1)] } else { vec![] }, "{wanted:?}");
    }
    let request = ListMembersRequest { route: guest.route(), ..Default::default() };
    assert_eq!(reason(desk.anonymous().list_members(request).await), Reason::Unauthenticated);
}
