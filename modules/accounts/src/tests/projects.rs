use holdfast_accounts_api::v1::{CreateProjectRequest, DeleteProjectRequest, Project};
use holdfast_domain::{ProjectId, Reason, Role};
use holdfast_sys_core::{module::RecordKey, query::Entity as _};

use super::desk::{ALL, Desk, ORG, grant, reason, scope_of};
use crate::limits::{DELETED_AT_ONCE, MAX_PROJECTS};

#[tokio::test]
async fn names_are_unique_and_free_again_when_given_back() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let (a, b) = (ann.create_project("a").await.unwrap(), ann.create_project("b").await.unwrap());
    assert_eq!(reason(ann.create_project("a").await), Reason::AlreadyExists);
    assert_eq!(reason(ann.rename_project(&b, "a").await), Reason::AlreadyExists);
    assert_eq!(ann.rename_project(&a, "c").await.unwrap().name, "c");
    assert_eq!(ann.rename_project(&b, "a").await.unwrap().name, "a");
    assert_eq!(ann.rename_project(&b, "a").await.unwrap().name, "a");
    assert_eq!(ann.projects().await.unwrap(), ["a", "c"]);
    while !ann.delete_project(&a).await.unwrap() {}
    ann.create_project("c").await.unwrap();
}

#[tokio::test]
async fn a_repeated_command_makes_one_project_and_deletes_once() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let home = desk.host.home(ORG.into());
    let request = CreateProjectRequest { route: ann.route(), name: "P".to_owned() };
    home.lose_answer();
    assert_eq!(reason(ann.client().create_project(request.clone()).await), Reason::NoQuorum);
    let made = ann.client().create_project(request).await.unwrap().into_inner();
    assert_eq!(ann.projects().await.unwrap(), ["P"]);
    assert!(!ann.delete_project(&made).await.unwrap());
    let request = DeleteProjectRequest { route: ann.route(), project: made.id.clone() };
    home.lose_answer();
    assert_eq!(reason(ann.client().delete_project(request.clone()).await), Reason::NoQuorum);
    assert!(ann.client().delete_project(request).await.unwrap().into_inner().done);
    assert_eq!(reason(ann.delete_project(&made).await), Reason::NotFound);
}

#[tokio::test]
async fn a_project_goes_with_all_of_its_members_and_nobody_joins_meanwhile() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let (gone, stays) =
        (ann.create_project("gone").await.unwrap(), ann.create_project("stays").await.unwrap());
    let many = u8::try_from(2 * DELETED_AT_ONCE + 10).unwrap();
    for account in 0..many {
        let grants = [grant(&scope_of(&gone), Role::User), grant(&scope_of(&stays), Role::Guest)];
        ann.put(account + 10, grants).await.unwrap();
    }
    let mut calls = 0;
    loop {
        let done = ann.delete_project(&gone).await.unwrap();
        calls += 1;
        if done {
            break;
        }
        assert_eq!(reason(ann.put(9, [grant(&scope_of(&gone), Role::User)]).await), Reason::NotFound);
        assert_eq!(reason(ann.rename_project(&gone, "saved").await), Reason::NotFound);
    }
    assert_eq!(calls, 1 + 3, "closed, and three batches of members");
    assert_eq!(ann.members("").await.unwrap().len(), usize::from(many));
    assert_eq!(ann.members(&scope_of(&gone)).await.unwrap(), []);
    assert_eq!(ann.projects().await.unwrap(), ["stays"]);
    // Nothing of it is left in the store, index rows included.
    for row in desk.host.home(ORG.into()).records() {
        let names = [scope_of(&gone), "gone".to_owned()].map(String::into_bytes);
        let found = row.key.components().iter().any(|part| names.iter().any(|name| part.ends_with(name)));
        assert!(!found, "{:?}", row.key);
    }
}

#[tokio::test]
async fn memberships_are_of_projects_that_exist() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    assert_eq!(reason(ann.put(2, [grant(&"ab".repeat(16), Role::User)]).await), Reason::NotFound);
    for scope in ["", "Organisation", "ab", &"AB".repeat(16)] {
        assert_eq!(reason(ann.put(2, [grant(scope, Role::User)]).await), Reason::Malformed, "{scope:?}");
    }
}

#[tokio::test]
async fn an_organisation_has_a_bounded_number_of_projects() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let home = desk.host.home(ORG.into());
    for number in 1..MAX_PROJECTS {
        let id = [&number.to_be_bytes()[..], &[0; 8]].concat();
        let key = [b"project".to_vec(), format!("t{}", ProjectId::try_from(&*id).unwrap()).into_bytes()];
        let row = Project { id: id.into(), name: format!("p{number}"), ..Project::default() };
        home.plant(RecordKey::new(key).unwrap(), row.encode());
    }
    ann.create_project("the last").await.unwrap();
    assert_eq!(reason(ann.create_project("one more").await), Reason::TooMany);
    assert_eq!(ann.projects().await.unwrap().len(), MAX_PROJECTS);
}

#[tokio::test]
async fn users_and_guests_look_on() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    let project = ann.create_project("P").await.unwrap();
    for role in [Role::Guest, Role::User] {
        ann.put(2, [grant(ALL, role)]).await.unwrap();
        assert_eq!(ben.projects().await.unwrap(), ["P"]);
        assert_eq!(reason(ben.create_project("Q").await), Reason::NotPermitted);
        assert_eq!(reason(ben.rename_project(&project, "Q").await), Reason::NotPermitted);
        assert_eq!(reason(ben.delete_project(&project).await), Reason::NotPermitted);
    }
}

#[tokio::test]
async fn a_command_that_made_a_project_does_not_bring_it_back() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let request = CreateProjectRequest { route: ann.route(), name: "P".to_owned() };
    let made = ann.client().create_project(request.clone()).await.unwrap().into_inner();
    while !ann.delete_project(&made).await.unwrap() {}
    assert_eq!(reason(ann.client().create_project(request.clone()).await), Reason::NotFound);
    assert_eq!(ann.projects().await.unwrap(), [""; 0]);
    // And where the command was forgotten, it makes another one.
    let again = CreateProjectRequest { route: ann.route(), ..request };
    assert_ne!(ann.client().create_project(again).await.unwrap().into_inner().id, made.id);
}
