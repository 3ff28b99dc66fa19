//! Files of an organisation.

use holdfast_domain::{OrgId, ProjectId, Role, Scope, Standing};

use super::*;

const ORG: OrgId = OrgId::new([7; 16]);

/// A client of an account that holds this role in this scope.
fn member(of: &Client, account: u8, scope: Scope, role: Role) -> Client {
    let (member, mut standing) = (of.other(account).at(ORG.into()), Standing::default());
    standing.hold(scope, role);
    member.standings.stand(member.account, ORG.into(), standing);
    member
}

/// What a client may do: look on, write.
async fn may(client: &Client, upload: u8) -> [bool; 2] {
    let permitted = |result: Result<(), Status>| match result {
        Ok(()) => true,
        Err(status) => {
            assert_eq!(reason(Err::<(), _>(status)), Reason::NotPermitted);
            false
        }
    };
    let usage = client.files().usage(UsageRequest { route: client.route() }).await;
    let reads = [
        client.get(b"shared", 0).await.map(drop),
        client.stat(b"shared").await.map(drop),
        client.list_page(b"", Bytes::new(), 10).await.map(drop),
        usage.map(drop),
    ];
    let id = UploadId::new([upload; 16]);
    let name = [b'u', upload];
    let writes = [
        client.put(&name, b"x").await.map(drop),
        client.begin(id, b"large", 4).await.map(drop),
        client.append(id, 0, b"data", 4).await.map(drop),
        client.commit(id, hash(b"data")).await.map(drop),
        client.remove(&name).await,
    ];
    let all = |results: Vec<bool>| {
        assert!(results.iter().all(|permitted| *permitted == results[0]), "{results:?}");
        results[0]
    };
    [all(reads.map(permitted).into()), all(writes.map(permitted).into())]
}

#[tokio::test]
async fn guests_read_users_and_admins_write_and_project_members_have_no_part() {
    let first = client().await;
    let org = Scope::Organisation(ORG);
    let admin = member(&first, 1, org, Role::Admin);
    admin.put(b"shared", b"ours").await.unwrap();
    assert_eq!(may(&admin, 1).await, [true, true]);
    assert_eq!(may(&member(&first, 2, org, Role::User), 2).await, [true, true]);
    assert_eq!(may(&member(&first, 3, org, Role::Guest), 3).await, [true, false]);
    assert_eq!(may(&member(&first, 4, Scope::Global, Role::SuperAdmin), 4).await, [true, true]);
    let project = Scope::Project(ProjectId::new([9; 16]));
    assert_eq!(may(&member(&first, 5, project, Role::Admin), 5).await, [false, false]);
    assert_eq!(may(&first.other(6).at(ORG.into()), 6).await, [false, false]);
}

#[tokio::test]
async fn an_organisations_files_are_nobodys_own() {
    let first = client().await;
    let user = member(&first, 1, Scope::Organisation(ORG), Role::User);
    user.put(b"a", b"ours").await.unwrap();
    first.put(b"a", b"mine").await.unwrap();
    assert_eq!(user.get(b"a", 0).await.unwrap().1, b"ours");
    assert_eq!(first.get(b"a", 0).await.unwrap().1, b"mine");
    assert_eq!(user.usage().await.files, 1);
}

#[tokio::test]
async fn a_member_cannot_use_up_anothers_command() {
    let first = client().await;
    let one = member(&first, 1, Scope::Organisation(ORG), Role::User);
    let other = member(&first, 2, Scope::Organisation(ORG), Role::User);
    let route = one.route();
    other.put_as(route.clone(), b"decoy", b"x").await.unwrap();
    one.put_as(route, b"mine", b"y").await.unwrap();
    assert_eq!(one.get(b"mine", 0).await.unwrap().1, b"y");
}
