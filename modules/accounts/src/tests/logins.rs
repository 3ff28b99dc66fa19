//! Logins through the guard and the gate, with a clock, a registry and a mail server of the test's own.

mod codes;
mod desk;
mod holes;

use holdfast_accounts_api::v1::{CreateLoginRequest, GetLoginRequest, Login};
use holdfast_domain::{HomeId, OrgId, Reason};

use super::desk::reason;
use crate::limits::{ADMITTED_MS, RESET_MS, VERIFY_MS};
use desk::{ANN, BOB, Desk, GOOD, MAIL, NEW, OTHER_NAME, START};

#[tokio::test]
async fn a_name_and_its_password_admit_a_key_for_some_hours() {
    let desk = Desk::with_login().await;
    let (_, key) = desk::new_key();
    let reply = desk.anonymous().sign_in_with(GOOD, &key).await.unwrap();
    assert_eq!((&*reply.account_id, reply.expires_ms), (&*ANN.as_bytes().to_vec(), START + ADMITTED_MS));
    let admitted = desk.admitted();
    assert_eq!(admitted.len(), 1);
    assert_eq!((admitted[0].account, admitted[0].login), (ANN, desk::login_id()));
    assert_eq!((admitted[0].key, admitted[0].expires.0), (key.public(), START + ADMITTED_MS));
}

#[tokio::test]
async fn only_whoever_holds_the_key_has_it_admitted() {
    let desk = Desk::with_login().await;
    let (client, key) = desk::new_key();
    let (_, stolen) = desk::new_key();
    let mut request = desk.anonymous().sign_in_request(GOOD, client, &key);
    request.key = stolen.public().as_bytes().to_vec().into();
    assert_eq!(reason(desk.anonymous().client().sign_in(request).await), Reason::ProofOfPossession);
    let mut request = desk.anonymous().sign_in_request(GOOD, client, &key);
    request.proof = vec![0; 63].into();
    assert_eq!(reason(desk.anonymous().client().sign_in(request).await), Reason::Malformed);
    assert!(desk.admitted().is_empty());
}

#[tokio::test]
async fn a_name_belongs_to_whoever_took_it_first() {
    let desk = Desk::with_login().await;
    assert_eq!(reason(desk.person(BOB).create(NEW).await), Reason::AlreadyExists);
    assert_eq!(reason(desk.person(ANN).create(NEW).await), Reason::AlreadyExists);
    assert_eq!(reason(desk.person(BOB).get().await), Reason::NotFound);
    assert_eq!(reason(desk.person(BOB).set_password(NEW).await), Reason::NotFound);
    assert_eq!(reason(desk.person(BOB).remove().await), Reason::NotFound);
    assert_eq!(reason(desk.anonymous().get().await), Reason::Unauthenticated);
    assert_eq!(reason(desk.anonymous().create(NEW).await), Reason::Unauthenticated);
    desk.anonymous().sign_in(GOOD).await.unwrap();
}

#[tokio::test]
async fn a_repeated_creation_happens_once_and_no_answer_has_the_hash() {
    let desk = Desk::new().await;
    let ann = desk.person(ANN);
    let request = CreateLoginRequest { route: ann.route(), password: GOOD.into() };
    let first = ann.client().create(request.clone()).await.unwrap().into_inner();
    let again = ann.client().create(request).await.unwrap().into_inner();
    assert_eq!(first, again);
    let shown = ann.get().await.unwrap();
    assert_eq!((first.password_hash, shown.password_hash), (String::new(), String::new()));
    assert_eq!(shown.account, ANN.as_bytes().to_vec());
}

#[tokio::test]
async fn a_removed_login_admits_nobody_and_its_name_is_free() {
    let desk = Desk::with_verified_mail().await;
    desk.anonymous().request_reset().await.unwrap();
    let code = desk.mailed(2).await;
    desk.person(ANN).remove().await.unwrap();
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::SignInRefused);
    assert_eq!(reason(desk.person(ANN).get().await), Reason::NotFound);
    desk.person(BOB).create(NEW).await.unwrap();
    assert_eq!(reason(desk.anonymous().reset(&code, GOOD).await), Reason::CodeUnknown, "of the one before");
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::SignInRefused);
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let desk = Desk::with_login().await;
    desk.person(ANN).set_password(NEW).await.unwrap();
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::SignInRefused);
    desk.anonymous().sign_in(NEW).await.unwrap();
    for bad in ["", "short77", &"x".repeat(1025)] {
        assert_eq!(reason(desk.person(ANN).set_password(bad).await), Reason::Malformed);
        assert_eq!(reason(desk.anonymous().sign_in(bad).await), Reason::Malformed);
    }
}

#[tokio::test]
async fn a_login_is_in_its_names_home_only() {
    let desk = Desk::with_login().await;
    for home in [HomeId::Account(ANN), OrgId::new([7; 16]).into()] {
        let mut route = desk.person(ANN).route().unwrap();
        route.home = Some(home.into());
        let request = CreateLoginRequest { route: Some(route.clone()), password: GOOD.into() };
        assert_eq!(reason(desk.person(ANN).client().create(request).await), Reason::Malformed);
        let refused = desk.person(ANN).client().get(GetLoginRequest { route: Some(route) }).await;
        assert_eq!(reason(refused), Reason::Malformed);
    }
}

#[tokio::test]
async fn an_address_is_the_logins_once_its_code_came_back() {
    let desk = Desk::with_login().await;
    let ann = desk.person(ANN);
    ann.request_verification(MAIL).await.unwrap();
    assert_eq!(ann.get().await.unwrap().email, "", "not yet");
    let code = desk.mailed(1).await;
    assert_eq!(reason(desk.person(BOB).verify(&code).await), Reason::CodeUnknown);
    let Login { email, verified_ms, .. } = ann.verify(&code).await.unwrap();
    assert_eq!((&*email, verified_ms), (MAIL, START));
    assert_eq!(reason(ann.verify(&code).await), Reason::CodeUnknown, "once");
    ann.request_verification(MAIL).await.unwrap();
    let code = desk.mailed(2).await;
    desk.pass(VERIFY_MS);
    assert_eq!(reason(ann.verify(&code).await), Reason::CodeUnknown, "late");
}

#[tokio::test]
async fn nobody_has_mail_sent_without_end() {
    let desk = Desk::with_login().await;
    let ann = desk.person(ANN);
    for bad in ["", "ann", "ann@example.org\r\nBcc: bob@example.org", "a@b, c@d"] {
        assert_eq!(reason(ann.request_verification(bad).await), Reason::Malformed);
    }
    assert_eq!(reason(desk.person(BOB).request_verification(MAIL).await), Reason::NotFound);
    let mut sent = 0;
    while ann.request_verification(MAIL).await.is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 2);
    desk.pass(VERIFY_MS);
    ann.request_verification(MAIL).await.unwrap();
    assert_eq!(desk.mails().len(), 3);
}

#[tokio::test]
async fn a_code_from_the_mail_sets_the_password_and_ends_a_lock_out() {
    let desk = Desk::with_verified_mail().await;
    for _ in 0..6 {
        desk.anonymous().sign_in("wrong password").await.unwrap_err();
    }
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::SignInRefused, "locked");
    desk.anonymous().request_reset().await.unwrap();
    let code = desk.mailed(2).await;
    desk.anonymous().reset(&code, NEW).await.unwrap();
    desk.anonymous().sign_in(NEW).await.unwrap();
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::SignInRefused);
}

#[tokio::test]
async fn a_reset_voids_what_else_was_mailed_and_so_does_a_new_password() {
    let desk = Desk::with_verified_mail().await;
    let mut codes = Vec::new();
    for number in [2, 3] {
        desk.anonymous().request_reset().await.unwrap();
        codes.push(desk.mailed(number).await);
    }
    desk.anonymous().reset(&codes[1], NEW).await.unwrap();
    assert_eq!(reason(desk.anonymous().reset(&codes[0], GOOD).await), Reason::CodeUnknown);
    desk.anonymous().request_reset().await.unwrap();
    let code = desk.mailed(4).await;
    desk.person(ANN).set_password(GOOD).await.unwrap();
    assert_eq!(reason(desk.anonymous().reset(&code, NEW).await), Reason::CodeUnknown);
}

#[tokio::test]
async fn a_code_to_an_address_that_is_the_logins_no_more_is_void() {
    let desk = Desk::with_verified_mail().await;
    desk.anonymous().request_reset().await.unwrap();
    let old = desk.mailed(2).await;
    desk.person(ANN).request_verification("ann@elsewhere.example").await.unwrap();
    let code = desk.mailed(3).await;
    desk.person(ANN).verify(&code).await.unwrap();
    assert_eq!(reason(desk.anonymous().reset(&old, NEW).await), Reason::CodeUnknown);
}

#[tokio::test]
async fn without_a_mail_server_what_needs_one_says_so() {
    let desk = Desk::without_mail().await;
    desk.person(ANN).create(GOOD).await.unwrap();
    assert_eq!(reason(desk.person(ANN).request_verification(MAIL).await), Reason::NotConfigured);
    assert_eq!(reason(desk.anonymous().request_reset().await), Reason::NotConfigured);
}

#[tokio::test]
async fn a_key_that_the_registry_refuses_is_refused_and_the_mail_server_may_be_away() {
    let desk = Desk::with_login().await;
    desk.refuse_keys(Reason::NotPermitted);
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::NotPermitted);
    desk.lose_mail();
    assert_eq!(reason(desk.person(ANN).request_verification(MAIL).await), Reason::MailUnsent);
}

#[tokio::test]
async fn one_account_makes_few_logins() {
    let desk = Desk::new().await;
    let ann = desk.person(ANN);
    let mut made = 0;
    loop {
        match ann.at(&format!("name{made}")).create(GOOD).await {
            Ok(_) => made += 1,
            Err(refused) => break assert_eq!(reason(Err::<(), _>(refused)), Reason::RateLimited),
        }
    }
    assert_eq!(made, 8);
    desk.person(BOB).at(OTHER_NAME).create(GOOD).await.unwrap();
}

#[tokio::test]
async fn many_resets_for_one_name_are_few_mails() {
    let desk = Desk::with_verified_mail().await;
    for _ in 0..6 {
        desk.anonymous().request_reset().await.unwrap();
    }
    desk.settle().await;
    assert_eq!(desk.mails().len(), 3, "one to verify, two to reset");
    desk.pass(RESET_MS);
    desk.anonymous().request_reset().await.unwrap();
    desk.mailed(4).await;
}
