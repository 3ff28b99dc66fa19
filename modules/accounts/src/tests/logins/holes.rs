//! Holes that logins of this kind had, each tried here: see the design's list, whose numbers these names carry.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use holdfast_domain::{HomeId, Reason};
use tonic::Status;

use super::{
    super::desk::reason,
    desk::{ANN, BOB, Desk, GOOD, MAIL, NAME, NEW, OTHER_NAME, code_in, login_id},
};
use crate::limits::{REFUSED_AFTER, RESET_MS};

#[tokio::test]
async fn hole_07_no_code_but_the_mailed_one_sets_a_password_and_that_once_for_its_purpose_while_it_is_fresh()
{
    let desk = Desk::with_verified_mail().await;
    let stranger = desk.anonymous();
    // Empty, zero, short, long, another alphabet: whether a code is out or not.
    let tries =
        ["", " ", "0", &"0".repeat(64), &"0".repeat(63), &"f".repeat(128), "null", "\0", &"x".repeat(9000)];
    for round in 0..2 {
        for token in tries {
            assert_eq!(reason(stranger.reset(token, NEW).await), Reason::CodeUnknown, "{round} {token:?}");
        }
        stranger.request_reset().await.unwrap();
        desk.mailed(2 + round).await;
    }
    let codes: Vec<_> = desk.mails().iter().map(|(_, text)| code_in(text)).collect();
    let [verification, old, code] = &codes[..] else { panic!("three mails") };
    // Of another purpose, spent and not.
    desk.person(ANN).request_verification(MAIL).await.unwrap();
    for other in [verification, &desk.mailed(4).await] {
        assert_eq!(reason(stranger.reset(other, NEW).await), Reason::CodeUnknown);
    }
    assert_eq!(reason(desk.person(ANN).verify(code).await), Reason::CodeUnknown);
    // For another login.
    desk.person(BOB).at(OTHER_NAME).create(GOOD).await.unwrap();
    assert_eq!(reason(stranger.at(OTHER_NAME).reset(code, NEW).await), Reason::CodeUnknown);
    // Two at once: one of them.
    let both = tokio::join!(stranger.reset(code, NEW), stranger.reset(code, NEW));
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert_eq!(reason(stranger.reset(code, GOOD).await), Reason::CodeUnknown, "again");
    assert_eq!(reason(stranger.reset(old, GOOD).await), Reason::CodeUnknown, "voided with it");
    stranger.sign_in(NEW).await.unwrap();
    // Too late.
    stranger.request_reset().await.unwrap();
    let late = desk.mailed(5).await;
    desk.pass(RESET_MS);
    assert_eq!(reason(stranger.reset(&late, GOOD).await), Reason::CodeUnknown);
}

#[tokio::test]
async fn hole_07_codes_and_passwords_are_in_no_answer_no_log_and_no_row() {
    let log = Log::default();
    log.record();
    let desk = Desk::with_verified_mail().await;
    desk.anonymous().request_reset().await.unwrap();
    let code = desk.mailed(2).await;
    let verification = code_in(&desk.mails()[0].1);
    let shown = format!("{:?}", desk.person(ANN).get().await.unwrap());
    let rows: Vec<u8> =
        desk.host.home(HomeId::Login(login_id())).records().into_iter().flat_map(|row| row.value).collect();
    desk.anonymous().reset(&code, NEW).await.unwrap();
    desk.anonymous().reset(&code, NEW).await.unwrap_err();
    desk.anonymous().sign_in(GOOD).await.unwrap_err();
    let log = log.text();
    assert!(log.contains("holdfast.accounts.v1.Logins/Reset"), "the log was recorded: {log}");
    assert!(log.contains("no_sign_in") && log.contains("sign_in_refused"), "and decisions are in it: {log}");
    for secret in [&*code, &*verification, GOOD, NEW, MAIL] {
        assert!(!log.contains(secret), "in the log: {secret}");
        assert!(secret == MAIL || !shown.contains(secret), "in an answer: {secret}");
        let raw = hex::decode(secret).unwrap_or_else(|_| secret.as_bytes().to_vec());
        for form in [secret.as_bytes(), &raw] {
            let there = rows.windows(form.len()).any(|window| window == form);
            assert!(secret == MAIL || !there, "in a row: {secret}");
        }
    }
}

#[tokio::test]
async fn hole_09_a_login_is_locked_wherever_its_guesser_comes_from_and_whatever_he_calls_his_tries() {
    let desk = Desk::with_login().await;
    desk.person(BOB).at(OTHER_NAME).create(GOOD).await.unwrap();
    // From many addresses, all under one command id, as a lost answer would be repeated.
    let route = desk.anonymous().route();
    for number in 1..=5 {
        let stranger = desk.anonymous().from([10, 0, 0, number]);
        let (client, key) = super::desk::new_key();
        let mut request = stranger.sign_in_request("wrong password", client, &key);
        request.route.clone_from(&route);
        assert_eq!(reason(stranger.client().sign_in(request).await), Reason::SignInRefused);
    }
    // With the right password, from an address that did nothing.
    let elsewhere = || desk.anonymous().from([10, 9, 9, 9]);
    assert_eq!(reason(elsewhere().sign_in(GOOD).await), Reason::SignInRefused, "locked");
    elsewhere().at(OTHER_NAME).sign_in(GOOD).await.unwrap();
    desk.anonymous().from([10, 0, 0, 1]).at(OTHER_NAME).sign_in(GOOD).await.unwrap();
    desk.pass(15_000);
    elsewhere().sign_in(GOOD).await.unwrap();
    assert_eq!(desk.admitted().len(), 3);
}

#[tokio::test]
async fn hole_09_many_guesses_at_once_are_as_many() {
    let desk = Desk::with_login().await;
    let tries = (1..=20).map(|number| {
        let stranger = desk.anonymous().from([10, 0, 1, number]);
        async move { stranger.sign_in("wrong password").await }
    });
    for tried in futures_of(tries).await {
        assert_eq!(reason(tried), Reason::SignInRefused);
    }
    assert_eq!(reason(desk.anonymous().sign_in(GOOD).await), Reason::SignInRefused, "locked");
    assert!(desk.person(ANN).get().await.unwrap().failures >= 5);
}

#[tokio::test]
async fn hole_09_one_address_does_not_try_many_names_and_keeps_nobody_else_out() {
    let desk = Desk::with_login().await;
    let guesser = desk.anonymous().from([10, 0, 0, 66]);
    let mut tries = 0;
    loop {
        match reason(guesser.reset(&format!("{tries:064}"), NEW).await) {
            Reason::CodeUnknown => tries += 1,
            refused => break assert_eq!(refused, Reason::RateLimited),
        }
    }
    assert!((30..35).contains(&tries), "{tries}");
    assert_eq!(reason(guesser.sign_in(GOOD).await), Reason::RateLimited);
    desk.anonymous().from([10, 0, 0, 67]).sign_in(GOOD).await.unwrap();
}

#[tokio::test]
async fn hole_09_unknown_known_and_locked_names_are_answered_alike_and_take_as_long() {
    let desk = Desk::with_verified_mail().await;
    let answer = async |name: &str, from: u8| {
        let (stranger, began) = (desk.anonymous().at(name).from([10, 0, 2, from]), Instant::now());
        let status = stranger.sign_in("wrong password").await.unwrap_err();
        (told(&status), began.elapsed())
    };
    let unknown = answer(OTHER_NAME, 1).await;
    let mut known = Vec::new();
    for number in 0..7 {
        known.push(answer(NAME, 2 + number).await);
    }
    for (text, took) in known.iter().chain([&unknown]) {
        assert_eq!(text, &unknown.0, "wrong or locked");
        assert!((REFUSED_AFTER..REFUSED_AFTER + Duration::from_millis(600)).contains(took), "{took:?}");
    }
    // Resets are answered alike, too, and only the one who reads the mail sees a difference.
    desk.anonymous().at(OTHER_NAME).request_reset().await.unwrap();
    desk.anonymous().request_reset().await.unwrap();
    let code = "0".repeat(64);
    let unknown = desk.anonymous().at(OTHER_NAME).reset(&code, NEW).await.unwrap_err();
    let known = desk.anonymous().reset(&code, NEW).await.unwrap_err();
    assert_eq!(told(&unknown), told(&known));
}

#[tokio::test]
async fn hole_14_neither_the_address_nor_the_name_nor_the_password_alone_lets_anybody_in() {
    let desk = Desk::with_verified_mail().await;
    let stranger = desk.anonymous();
    // The address is no name, not even with the right password.
    assert_eq!(reason(stranger.at(MAIL).sign_in(GOOD).await), Reason::SignInRefused);
    assert_eq!(reason(stranger.at(MAIL).sign_in(MAIL).await), Reason::SignInRefused);
    // The name with the address, with itself, or with nothing for a password.
    assert_eq!(reason(stranger.sign_in(MAIL).await), Reason::SignInRefused);
    assert_eq!(reason(stranger.sign_in(&NAME.repeat(4)).await), Reason::SignInRefused);
    assert_eq!(reason(stranger.sign_in("").await), Reason::Malformed);
    // The password with another's name, or none.
    desk.person(BOB).at(OTHER_NAME).create(NEW).await.unwrap();
    assert_eq!(reason(stranger.at(OTHER_NAME).sign_in(GOOD).await), Reason::SignInRefused);
    let (client, key) = super::desk::new_key();
    let mut request = stranger.sign_in_request(GOOD, client, &key);
    request.route.as_mut().unwrap().home = None;
    assert_eq!(reason(stranger.client().sign_in(request).await), Reason::Malformed);
    assert!(desk.admitted().is_empty());
    stranger.sign_in(GOOD).await.unwrap();
}

/// All that a stranger is told.
fn told(status: &Status) -> (tonic::Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

pub(super) async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|task| {
        running.retain_mut(|future| match future.as_mut().poll(task) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

/// Everything that this process logs, at every level: other tests know the same secrets.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn record(&self) {
        let log = self.clone();
        let writer = move || log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
