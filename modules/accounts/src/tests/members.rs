use bytes::Bytes;
use holdfast_accounts_api::v1::{ListMembersRequest, PutMemberRequest};
use holdfast_domain::{Reason, Role};

use super::desk::{ALL, Desk, ORG, grant, id, reason, scope_of};

#[tokio::test]
async fn a_role_takes_the_place_of_the_one_before_and_keeps_the_day_of_coming() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let first = ann.put(2, [grant(ALL, Role::Guest)]).await.unwrap();
    let second = ann.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    assert_eq!(first[0].since_ms, second[0].since_ms);
    assert_eq!(ann.members(ALL).await.unwrap(), [(2, 3)]);
}

#[tokio::test]
async fn a_role_that_was_taken_is_gone_with_the_next_call() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    ann.put(2, [grant(ALL, Role::Admin)]).await.unwrap();
    ben.put(3, [grant(ALL, Role::User)]).await.unwrap();
    ann.put(2, [grant(ALL, Role::User)]).await.unwrap();
    assert_eq!(reason(ben.put(3, [grant(ALL, Role::Admin)]).await), Reason::NotPermitted);
    ann.remove(ALL, 2).await.unwrap();
    assert_eq!(reason(ben.members(ALL).await), Reason::NotPermitted);
    assert_eq!(reason(ann.remove(ALL, 2).await), Reason::NotFound);
}

#[tokio::test]
async fn everybody_may_leave_and_only_leave() {
    let desk = Desk::with_organisation().await;
    let (ann, ben, cid) = (desk.person(1), desk.person(2), desk.person(3));
    let project = scope_of(&ann.create_project("P").await.unwrap());
    for role in [Role::Guest, Role::User, Role::Admin] {
        ann.put(2, [grant(ALL, role), grant(&project, role)]).await.unwrap();
        ann.put(3, [grant(&project, role)]).await.unwrap();
        ben.remove(&project, 2).await.unwrap();
        cid.remove(&project, 3).await.unwrap();
        ben.remove(ALL, 2).await.unwrap();
        assert_eq!(ann.members("").await.unwrap(), []);
    }
    ann.put(2, [grant(ALL, Role::User)]).await.unwrap();
    ann.put(3, [grant(ALL, Role::User)]).await.unwrap();
    assert_eq!(reason(ben.remove(ALL, 3).await), Reason::NotFound);
    assert_eq!(reason(desk.person(4).remove(ALL, 4).await), Reason::NotPermitted);
}

#[tokio::test]
async fn a_repeated_grant_happens_once() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let grants = vec![grant(ALL, Role::User)];
    let request = PutMemberRequest { route: ann.route(), account: id(2), grants };
    desk.host.home(ORG.into()).lose_answer();
    assert_eq!(reason(ann.client().put_member(request.clone()).await), Reason::NoQuorum);
    ann.remove(ALL, 2).await.unwrap();
    ann.client().put_member(request).await.unwrap();
    assert_eq!(ann.members(ALL).await.unwrap(), [], "the late try does not bring him back");
}

#[tokio::test]
async fn cursors_are_good_for_their_listing_and_their_reader_only() {
    let desk = Desk::with_organisation().await;
    let (ann, ben) = (desk.person(1), desk.person(2));
    for account in 2..8 {
        ann.put(account, [grant(ALL, Role::User)]).await.unwrap();
    }
    let page = |scope: &str, cursor: Bytes, limit| ListMembersRequest {
        route: ann.route(),
        scope: scope.to_owned(),
        cursor,
        limit,
    };
    let first = ann.client().list_members(page(ALL, Bytes::new(), 2)).await.unwrap().into_inner();
    assert_eq!(first.memberships.len(), 2);
    let next = page(ALL, first.cursor.clone(), 2);
    assert_eq!(reason(ben.client().list_members(next).await), Reason::Malformed);
    let other = page("", first.cursor.clone(), 2);
    assert_eq!(reason(ann.client().list_members(other).await), Reason::Malformed);
    for bad in [page(ALL, vec![1; 5000].into(), 2), page(ALL, Bytes::new(), 1001), page("x", Bytes::new(), 1)]
    {
        assert_eq!(reason(ann.client().list_members(bad).await), Reason::Malformed);
    }
    assert_eq!(ann.members(ALL).await.unwrap().len(), 6);
}

#[tokio::test]
async fn an_account_has_16_bytes() {
    let desk = Desk::with_organisation().await;
    let ann = desk.person(1);
    let request = PutMemberRequest {
        route: ann.route(),
        account: vec![1; 15].into(),
        grants: vec![grant(ALL, Role::User)],
    };
    assert_eq!(reason(ann.client().put_member(request).await), Reason::Malformed);
}
