//! What lies outside of the caller's scope does not exist, for each thing that can be done.

use holdfast_authz::Scope;
use holdfast_domain::Reason;

use super::{
    note::Note,
    support::{Desk, key, list, owned_by, refused},
};
use crate::{
    query::{By, Committed, Stored},
    testing::AuditLog,
};

/// One note of ann's and one of bob's.
async fn two_owners() -> Desk {
    let desk = Desk::new();
    desk.store([Note::new("f", 1, "ann"), Note::new("f", 2, "bob")]).await;
    desk
}

#[tokio::test]
async fn a_hidden_row_is_not_found_whatever_is_done_to_it() {
    let desk = two_owners().await;
    let notes = desk.request(1, owned_by("ann")).notes;
    let version = desk.everything().get(&key("f", 2)).await.unwrap().version();
    let mine = Note::new("f", 2, "ann");
    assert_eq!(refused(notes.get(&key("f", 2)).await), Reason::NotFound);
    assert_eq!(refused(notes.delete(desk.command(), &key("f", 2)).await), Reason::NotFound);
    assert_eq!(refused(notes.put(desk.command(), &mine).await), Reason::NotFound);
    assert_eq!(refused(notes.insert(desk.command(), &mine).await), Reason::NotFound);
    assert_eq!(refused(notes.replace(desk.command(), &mine, version).await), Reason::NotFound);
    let request = desk.request(1, owned_by("ann"));
    let mut batch = request.batch(desk.command());
    batch.require(&request.notes, &key("f", 2), version).unwrap();
    assert_eq!(refused(batch.commit().await), Reason::NotFound);
    assert_eq!(list(&notes, &By::Everything, 10).await, [Note::new("f", 1, "ann")]);
    assert_eq!(desk.everything().get(&key("f", 2)).await.unwrap().into_row(), Note::new("f", 2, "bob"));
}

#[tokio::test]
async fn what_does_not_exist_is_refused_like_what_is_hidden() {
    let desk = two_owners().await;
    let notes = desk.request(1, owned_by("ann")).notes;
    let version = desk.everything().get(&key("f", 2)).await.unwrap().version();
    for number in [2, 3] {
        let note = Note::new("f", number, "ann");
        let replaced = notes.replace(desk.command(), &note, version).await.unwrap_err();
        let deleted = notes.delete(desk.command(), &key("f", number)).await.unwrap_err();
        let got = notes.get(&key("f", number)).await.unwrap_err();
        assert!([&replaced, &deleted].into_iter().all(|error| *error == got));
    }
}

#[tokio::test]
async fn nobody_makes_or_leaves_a_row_outside_of_his_scope() {
    let desk = two_owners().await;
    let notes = desk.request(1, owned_by("ann")).notes;
    let version = notes.get(&key("f", 1)).await.unwrap().version();
    let given_away = Note::new("f", 1, "bob");
    assert_eq!(refused(notes.put(desk.command(), &given_away).await), Reason::NotPermitted);
    assert_eq!(refused(notes.replace(desk.command(), &given_away, version).await), Reason::NotPermitted);
    // The answer is the same whether the name is free, taken or hidden.
    for number in [1, 2, 3] {
        let other = Note::new("f", number, "bob");
        assert_eq!(refused(notes.insert(desk.command(), &other).await), Reason::NotPermitted);
    }
    desk.assert_indexes_exact();
}

#[tokio::test]
async fn never_is_nothing_at_all() {
    let desk = two_owners().await;
    let notes = desk.request(1, Scope::Never).notes;
    assert_eq!(refused(notes.get(&key("f", 1)).await), Reason::NotFound);
    assert_eq!(list(&notes, &By::Everything, 10).await, []);
    assert_eq!(refused(notes.put(desk.command(), &Note::new("f", 1, "ann")).await), Reason::NotPermitted);
    assert_eq!(refused(notes.delete(desk.command(), &key("f", 1)).await), Reason::NotFound);
}

#[tokio::test]
async fn a_batch_with_one_hidden_row_changes_nothing() {
    let desk = two_owners().await;
    let request = desk.request(1, owned_by("ann"));
    let mut batch = request.batch(desk.command());
    batch.put(&request.notes, &Note::new("f", 7, "ann")).unwrap();
    batch.delete(&request.notes, &key("f", 2)).unwrap();
    assert_eq!(refused(batch.commit().await), Reason::NotFound);
    assert_eq!(refused(desk.everything().get(&key("f", 7)).await), Reason::NotFound);
}

#[tokio::test]
async fn answers_carry_no_secrets() {
    let desk = two_owners().await;
    let stored = desk.everything().get(&key("f", 1)).await.unwrap();
    assert_eq!(stored.row().password, "secret");
    assert!(!format!("{stored:?}").contains("secret"));
    assert_eq!(stored.into_answer().password, "");
}

#[tokio::test]
async fn looking_beyond_needs_a_declared_reason_and_is_recorded() {
    let desk = two_owners().await;
    let log = AuditLog::default();
    let _recording = log.record();
    let refused = refused(desk.request(1, owned_by("ann")).notes.unfiltered("count all"));
    assert_eq!(refused, Reason::Internal);
    let notes = desk.request_with(1, owned_by("ann"), Some("names are unique")).notes;
    let all = notes.unfiltered("is the name free").unwrap();
    assert_eq!(all.get(&key("f", 2)).await.unwrap().into_row().owner, "bob");
    assert_eq!(all.list(&By::Everything, None, 10).await.unwrap().rows.len(), 2);
    let events = log.events();
    assert_eq!(events.len(), 2);
    assert!(events[0].contains("decision=deny") && events[0].contains("purpose=count all"));
    for part in
        ["decision=allow", "reason=names are unique", "purpose=is the name free", "entity=Note", "client/"]
    {
        assert!(events[1].contains(part), "{part} is not in {}", events[1]);
    }
    // The table itself is what it was.
    assert_eq!(list(&notes, &By::Everything, 10).await.len(), 1);
}

#[tokio::test]
async fn a_retry_of_what_happened_is_a_duplicate_even_when_it_could_not_happen_again() {
    let desk = Desk::new();
    let notes = desk.everything();
    let (note, insert, delete) = (Note::new("f", 1, "ann"), desk.command(), desk.command());
    desk.home.lose_answer();
    assert_eq!(refused(notes.insert(insert, &note).await), Reason::NoQuorum);
    assert_eq!(notes.insert(insert, &note).await, Ok(Committed::Duplicate));
    assert_eq!(refused(notes.insert(desk.command(), &note).await), Reason::AlreadyExists);
    assert_eq!(notes.delete(delete, &key("f", 1)).await, Ok(Committed::Applied));
    assert_eq!(notes.delete(delete, &key("f", 1)).await, Ok(Committed::Duplicate));
    assert_eq!(refused(notes.delete(desk.command(), &key("f", 1)).await), Reason::NotFound);
}

#[tokio::test]
async fn nobody_uses_up_anothers_command_id() {
    let desk = Desk::new();
    let command = desk.command();
    for client in [1, 2] {
        let notes = desk.request(client, Scope::Always).notes;
        let note = Note::new("f", client.into(), "ann");
        assert_eq!(notes.put(command, &note).await, Ok(Committed::Applied));
        assert_eq!(notes.put(command, &note).await, Ok(Committed::Duplicate));
    }
    assert_eq!(list(&desk.everything(), &By::Everything, 10).await.len(), 2);
}

#[tokio::test]
async fn replace_takes_the_version_that_was_read() {
    let desk = two_owners().await;
    let notes = desk.request(1, owned_by("ann")).notes;
    let stored = notes.get(&key("f", 1)).await.unwrap();
    let (version, note) = (stored.version(), Stored::into_row(stored).tagged(["x"]));
    assert_eq!(notes.replace(desk.command(), &note, version).await, Ok(Committed::Applied));
    assert_eq!(refused(notes.replace(desk.command(), &note, version).await), Reason::Conflict);
    desk.assert_indexes_exact();
}
