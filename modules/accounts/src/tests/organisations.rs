use holdfast_domain::{AccountId, OrgId, Reason, Role};

use holdfast_accounts_api::v1::{CreateRequest, RenameRequest};

use super::desk::{ALL, Desk, ORG, grant, id, reason};

#[tokio::test]
async fn whoever_makes_an_organisation_owns_it_and_nobody_makes_it_again() {
    let desk = Desk::new().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    assert_eq!(reason(ann.get().await), Reason::NotPermitted);
    let made = ann.create("Acme").await.unwrap();
    assert_eq!((&*made.id, &*made.name, &*made.owner), (ORG.as_bytes().as_slice(), "Acme", &*id(1)));
    assert_eq!(ann.get().await.unwrap(), made);
    assert_eq!(reason(ann.create("Acme").await), Reason::AlreadyExists);
    assert_eq!(reason(ben.create("Mine").await), Reason::NotFound);
    assert_eq!(ann.get().await.unwrap(), made);
}

#[tokio::test]
async fn a_repeated_command_happens_once() {
    let desk = Desk::new().await;
    let ann = desk.person(1);
    let request = CreateRequest { route: ann.route(), name: "Acme".to_owned() };
    desk.host.home(ORG.into()).lose_answer();
    assert_eq!(reason(ann.client().create(request.clone()).await), Reason::NoQuorum);
    assert_eq!(ann.client().create(request).await.unwrap().into_inner().name, "Acme");
    let request = RenameRequest { route: ann.route(), name: "Apex".to_owned() };
    desk.host.home(ORG.into()).lose_answer();
    assert_eq!(reason(ann.client().rename(request.clone()).await), Reason::NoQuorum);
    assert_eq!(ann.client().rename(request).await.unwrap().into_inner().name, "Apex");
}

#[tokio::test]
async fn an_organisation_is_in_no_accounts_home() {
    let desk = Desk::new().await;
    for home in [1, 2] {
        let ann = desk.person(1).at(AccountId::new([home; 16]));
        assert_eq!(reason(ann.create("Acme").await), Reason::Malformed);
    }
}

#[tokio::test]
async fn organisations_do_not_know_each_other() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2).at(OrgId::new([7; 16])));
    ben.create("Other").await.unwrap();
    ben.put(1, [grant(ALL, Role::Guest)]).await.unwrap();
    assert_eq!(ann.members("").await.unwrap(), []);
    assert_eq!(reason(desk.person(2).get().await), Reason::NotPermitted);
    assert_eq!(reason(desk.person(1).at(OrgId::new([7; 16])).rename("Mine").await), Reason::NotPermitted);
}

#[tokio::test]
async fn a_name_is_one_line_of_text() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    for bad in ["", " Acme", "a\nb", &"x".repeat(101)] {
        assert_eq!(reason(ann.rename(bad).await), Reason::Malformed);
        assert_eq!(reason(ann.create_project(bad).await), Reason::Malformed);
    }
}

#[tokio::test]
async fn a_write_names_its_command() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let mut route = ann.route().unwrap();
    route.command_id.clear();
    let request = RenameRequest { route: Some(route), name: "Apex".to_owned() };
    assert_eq!(reason(ann.client().rename(request).await), Reason::Malformed);
}

#[tokio::test]
async fn the_owner_alone_gives_the_organisation_away_and_to_members_only() {
    let desk = Desk::with_organisation().await;
    let (ann, ben, cid) = (desk.person(1), desk.person(2), desk.person(3));
    ann.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    for other in [&ben, &cid] {
        assert!([Reason::NotFound, Reason::NotPermitted].contains(&reason(other.transfer(2).await)));
    }
    assert_eq!(reason(ann.transfer(3).await), Reason::NotFound);
    assert_eq!(ann.transfer(1).await.unwrap().owner, id(1));
    assert_eq!(ann.transfer(2).await.unwrap().owner, id(2));
    assert_eq!(ben.get().await.unwrap().owner, id(2));
    // What is left to the owner so far is the role of his membership: he had none.
    assert_eq!(reason(ann.get().await), Reason::NotPermitted);
    ben.remove(ALL, 2).await.unwrap();
    ben.put(1, [grant(ALL, Role::Guest)]).await.unwrap();
}

#[tokio::test]
async fn nobody_locks_the_owner_out() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    ann.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    ben.put(1, [grant(ALL, Role::Guest)]).await.unwrap();
    ann.put(2, [grant(ALL, Role::User)]).await.unwrap();
    ben.remove(ALL, 1).await.unwrap_err();
    ann.remove(ALL, 1).await.unwrap();
    ann.remove(ALL, 2).await.unwrap();
    assert_eq!(ann.rename("Still mine").await.unwrap().owner, id(1));
}

#[tokio::test]
async fn an_organisation_ends_when_it_is_empty_and_its_id_is_never_used_again() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    ann.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    let project = ann.create_project("P").await.unwrap();
    assert_eq!(reason(ann.delete().await), Reason::NotEmpty);
    ann.remove(ALL, 2).await.unwrap();
    assert_eq!(reason(ann.delete().await), Reason::NotEmpty);
    while !ann.delete_project(&project).await.unwrap() {}
    assert!(!ann.delete().await.unwrap(), "first it is closed");
    assert_eq!(reason(ann.create_project("Q").await), Reason::NotFound);
    assert_eq!(reason(ann.put(2, [grant(ALL, Role::Guest)]).await), Reason::NotFound);
    assert!(ann.delete().await.unwrap());
    assert_eq!(reason(ann.get().await), Reason::NotPermitted);
    assert_eq!(reason(ann.delete().await), Reason::NotPermitted);
    assert_eq!(reason(ann.create("Again").await), Reason::AlreadyExists);
    assert_eq!(reason(ben.create("Mine now").await), Reason::NotFound);
    assert_eq!(reason(ben.get().await), Reason::NotPermitted);
}

#[tokio::test]
async fn only_the_owner_ends_it() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    ann.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    assert_eq!(reason(ben.delete().await), Reason::NotFound);
    assert_eq!(reason(desk.person(3).delete().await), Reason::NotPermitted);
}

#[tokio::test]
async fn one_account_does_not_make_organisations_without_end() {
    let desk = Desk::new().await;
    for number in 0..64 {
        desk.person(1).at(OrgId::new([number; 16])).create("Acme").await.unwrap();
    }
    assert_eq!(reason(desk.person(1).at(OrgId::new([64; 16])).create("Acme").await), Reason::RateLimited);
    desk.person(2).at(OrgId::new([64; 16])).create("Acme").await.unwrap();
}
