//! Guards over time, against a server that changes its mind.

use std::time::Duration;

use holdfast_domain::OrgId;
use tokio::sync::watch;

use super::*;
use crate::tests::{Bench, Fault};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until the guards know something else.
async fn change(changes: &mut watch::Receiver<Known>) -> Known {
    let changed = tokio::time::timeout(Duration::from_secs(10), changes.changed());
    changed.await.expect("nothing changed").unwrap();
    changes.borrow_and_update().clone()
}

#[tokio::test]
async fn guards_follow_the_server_and_wake_users_for_changes_only() {
    let bench = Bench::new().await;
    bench.fake.state().capabilities = reply(&["/notes"]);
    let org = OrgId::new([7; 16]);
    let guards = Guards::every(bench.client.home(Some(org.into())), Duration::from_millis(20));
    let (routes, navigation, mut changes) = (guards.routes(), guards.navigation(), guards.changes());
    assert_eq!(routes.check("/notes"), closed(Because::NotHeard), "nothing is open before the first answer");
    assert_eq!(navigation.items(), []);
    change(&mut changes).await;
    assert!(matches!(routes.check("/notes"), Access::Open(_)));
    assert_eq!(bench.fake.state().homes.last(), Some(&Some(org.into())));
    while bench.calls("capabilities") < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!changes.has_changed().unwrap(), "the same answer is no change");
    bench.fake.state().capabilities = reply(&["/else"]);
    change(&mut changes).await;
    assert_eq!(routes.check("/notes"), closed(Because::NotOffered));
    assert_eq!(navigation.items(), [Item { path: "/else".into(), title: "Notes".into() }]);
}

#[tokio::test]
async fn a_call_that_is_not_permitted_makes_guards_ask_again() {
    let bench = Bench::new().await;
    bench.fake.state().capabilities = reply(&["/notes"]);
    let guards = Guards::every(bench.client.home(None), HOUR);
    let mut changes = guards.changes();
    change(&mut changes).await;
    bench.fake.state().capabilities = reply(&[]);
    bench.fake.fail_with([Fault::Refuse(Reason::NotPermitted)]);
    bench.files().usage().await.unwrap_err();
    change(&mut changes).await;
    assert_eq!(guards.routes().check("/notes"), closed(Because::NotOffered));
    bench.fake.state().capabilities = reply(&["/notes"]);
    guards.refresh();
    change(&mut changes).await;
}

#[tokio::test]
async fn a_server_that_refuses_closes_everything_and_is_not_asked_all_the_time() {
    let bench = Bench::new().await;
    bench.fake.state().capabilities = reply(&["/notes"]);
    let guards = Guards::every(bench.client.home(None), HOUR);
    let mut changes = guards.changes();
    change(&mut changes).await;
    bench.fake.fail_with([Fault::Refuse(Reason::NotPermitted)]);
    guards.refresh();
    assert_eq!(change(&mut changes).await, Known::Refused(Reason::NotPermitted));
    assert_eq!(guards.routes().check("/notes"), closed(Because::Refused(Reason::NotPermitted)));
    let asked = bench.calls("capabilities");
    tokio::time::sleep(crate::limits::CAPABILITIES_PAUSE * 2).await;
    assert_eq!(bench.calls("capabilities"), asked, "its own refusal is no news");
}
