//! Codes that are asked for at once.

use holdfast_domain::{HomeId, Reason};

use super::{
    super::desk::reason,
    desk::{ANN, Desk, GOOD, NEW, code_in, login_id},
    holes::futures_of,
};

/// So many ask at once, each from an address of its own.
async fn ask(desk: &Desk, callers: u8) {
    let asked = (1..=callers).map(|number| {
        let stranger = desk.anonymous().from([10, 0, 3, number]);
        async move { stranger.request_reset().await }
    });
    for answer in futures_of(asked).await {
        answer.unwrap();
    }
}

async fn none_is_good(desk: &Desk) {
    for (_, text) in desk.mails() {
        assert_eq!(reason(desk.anonymous().reset(&code_in(&text), GOOD).await), Reason::CodeUnknown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_resets_at_once_are_few_codes_and_a_new_password_voids_them_all() {
    let desk = Desk::with_verified_mail().await;
    let rows = || desk.host.home(HomeId::Login(login_id())).records().len();
    let before = rows();
    ask(&desk, 16).await;
    desk.settle().await;
    assert_eq!((rows(), desk.mails().len()), (before + 2, 3), "one to verify, two to reset");
    desk.person(ANN).set_password(NEW).await.unwrap();
    assert_eq!(rows(), before);
    none_is_good(&desk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn codes_that_are_issued_while_others_are_voided_are_known_to_the_next_new_password() {
    let desk = Desk::with_verified_mail().await;
    let ann = desk.person(ANN);
    let (_, set) = tokio::join!(ask(&desk, 16), ann.set_password(NEW));
    set.unwrap();
    desk.settle().await;
    ann.set_password(GOOD).await.unwrap();
    none_is_good(&desk).await;
    ask(&desk, 8).await;
    ann.remove().await.unwrap();
    desk.settle().await;
    assert!(desk.host.home(HomeId::Login(login_id())).records().is_empty(), "no code outlives its login");
}
