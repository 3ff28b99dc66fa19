//! Nothing dangles, however deleting and adding overtake each other.

use holdfast_accounts_api::v1::{Life, Membership, Organisation, Project, ProjectName};
use holdfast_domain::{Reason, Role};
use holdfast_sys_core::{Refusal, query::Entity};
use tonic::Status;

use super::desk::{ALL, Desk, ORG, Person, grant, scope_of};

/// As many tries as a patient client makes.
const TRIES: usize = 100;

/// The rows of a table, behind everybody's back.
fn rows<E: Entity>(desk: &Desk) -> Vec<E> {
    let table = E::schema().table.clone().into_bytes();
    let records = desk.host.home(ORG.into()).records().into_iter();
    records.filter(|row| row.key.components()[0] == table).map(|row| E::decode(&row.value).unwrap()).collect()
}

/// Every membership and name is of a project that is there, and nothing is there when the organisation has ended.
fn assert_nothing_dangles(desk: &Desk) {
    let projects: Vec<Project> = rows(desk);
    for membership in rows::<Membership>(desk) {
        let known =
            membership.scope == ALL || projects.iter().any(|project| scope_of(project) == membership.scope);
        assert!(known, "{membership:?} is of no project");
    }
    let mut names: Vec<_> =
        rows::<ProjectName>(desk).into_iter().map(|row| (row.project, row.name)).collect();
    let mut wanted: Vec<_> =
        projects.iter().map(|project| (project.id.clone(), project.name.clone())).collect();
    names.sort();
    wanted.sort();
    assert_eq!(names, wanted);
    if rows::<Organisation>(desk).iter().any(|row| row.life() == Life::Ended) {
        assert!(projects.is_empty() && rows::<Membership>(desk).is_empty());
    }
}

/// Until it is not a conflict.
async fn patiently<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> Result<T, Reason> {
    for _ in 0..TRIES {
        match call().await {
            Ok(done) => return Ok(done),
            Err(status) => match Refusal::from_status(&status).unwrap().reason() {
                Reason::Conflict => {}
                other => return Err(other),
            },
        }
    }
    Err(Reason::Conflict)
}

async fn delete(person: &Person<'_>, project: &Project) {
    while !patiently(|| person.delete_project(project)).await.unwrap() {}
}

#[tokio::test]
async fn invariant_a_deleted_project_leaves_nothing_whoever_adds_meanwhile() {
    for round in 0..20 {
        let desk = Desk::with_organisation().await;
        let ann = desk.person(1);
        let project = ann.create_project("P").await.unwrap();
        let scope = scope_of(&project);
        let join = async |from: u8| {
            for account in from..from + 6 {
                let joined = patiently(|| ann.put(account, [grant(&scope, Role::User)])).await;
                assert!(matches!(joined, Ok(_) | Err(Reason::NotFound)), "{joined:?}");
            }
        };
        let rename = async {
            for number in 0..4 {
                let name = format!("n{number}");
                let renamed = patiently(|| ann.rename_project(&project, &name)).await;
                assert!(matches!(renamed, Ok(_) | Err(Reason::NotFound)), "{renamed:?}");
            }
        };
        let late = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            delete(&ann, &project).await;
        };
        tokio::join!(join(10), join(20), rename, late);
        assert_eq!(rows::<Project>(&desk), []);
        assert_nothing_dangles(&desk);
    }
}

#[tokio::test]
async fn invariant_an_organisation_that_ended_has_nothing_whoever_adds_meanwhile() {
    let mut ended = 0;
    for round in 0..20 {
        let desk = Desk::with_organisation().await;
        let ann = desk.person(1);
        let add = async {
            for number in 0..round % 5 {
                tokio::task::yield_now().await;
                drop(ann.put(10 + number, [grant(ALL, Role::User)]).await);
                drop(ann.create_project(&format!("p{number}")).await);
            }
        };
        let end = async {
            let mut done = false;
            while !done {
                match patiently(|| ann.delete()).await {
                    Ok(now) => done = now,
                    Err(Reason::NotEmpty) => return,
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(add, end);
        ended += usize::from(rows::<Organisation>(&desk)[0].life() == Life::Ended);
        assert_nothing_dangles(&desk);
    }
    assert!(ended > 0, "nothing was tried");
}
