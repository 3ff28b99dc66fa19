//! Every bound, at it and past it.

use holdfast_authz::Scope;
use holdfast_domain::Reason;

use super::{
    note::Note,
    support::{Desk, key, list, owned_by, refused},
};
use crate::{
    limits::{MAX_COMMIT_OPS, MAX_INDEXED_ELEMENTS, MAX_KEY_FIELDS, MAX_ROW_BYTES, MAX_SCAN_VISITS},
    module::{MAX_COMPONENTS, RecordKey},
    query::{By, Committed, Entity, QueryError, RowKey},
};

// An index row has room for the longest key, and a command for a set that is replaced.
const _: () = assert!(MAX_KEY_FIELDS + 2 <= MAX_COMPONENTS && 2 * MAX_INDEXED_ELEMENTS < MAX_COMMIT_OPS);

#[tokio::test]
async fn keys_of_the_wrong_shape_are_refused() {
    let desk = Desk::new();
    let notes = desk.everything();
    let short = RowKey::new(["f"]).unwrap();
    let mistyped = RowKey::new(["f", "1"]).unwrap();
    for key in [short, mistyped, key("", 1), key(&"x".repeat(512), 1)] {
        assert_eq!(refused(notes.get(&key).await), Reason::Malformed, "{key:?}");
    }
    assert_eq!(refused(notes.put(desk.command(), &Note::new("", 1, "ann")).await), Reason::Malformed);
    assert!(notes.put(desk.command(), &Note::new(&"x".repeat(511), i64::MIN, "ann")).await.is_ok());
    assert!(notes.get(&key(&"x".repeat(511), i64::MIN)).await.is_ok());
}

#[tokio::test]
async fn rows_and_indexed_values_that_are_too_large_are_refused() {
    let desk = Desk::new();
    let notes = desk.everything();
    let mut note = Note::new("f", 1, "ann");
    note.password = "x".repeat(MAX_ROW_BYTES);
    assert!(matches!(notes.put(desk.command(), &note).await, Err(QueryError::RowTooLarge { .. })));
    let long_owner = Note::new("f", 1, &"x".repeat(512));
    assert!(matches!(notes.put(desk.command(), &long_owner).await, Err(QueryError::Key { .. })));
    let tags = |count: usize| (0..count).map(|tag| tag.to_string()).collect();
    let mut note = Note::new("f", 1, "");
    note.tags = tags(MAX_INDEXED_ELEMENTS + 1);
    assert!(matches!(notes.put(desk.command(), &note).await, Err(QueryError::SetTooLarge { .. })));
    note.tags = tags(MAX_INDEXED_ELEMENTS);
    assert!(notes.put(desk.command(), &note).await.is_ok());
    // All elements at once for others.
    note.tags = (0..MAX_INDEXED_ELEMENTS).map(|tag| format!("other{tag}")).collect();
    assert_eq!(notes.put(desk.command(), &note).await, Ok(Committed::Applied));
    desk.assert_indexes_exact();
}

#[tokio::test]
async fn a_batch_names_a_row_once_and_fits_a_command() {
    let desk = Desk::new();
    let request = desk.request(1, Scope::Always);
    let mut batch = request.batch(desk.command());
    batch.put(&request.notes, &Note::new("f", 1, "ann")).unwrap();
    let twice = batch.delete(&request.notes, &key("f", 1));
    assert!(matches!(twice, Err(QueryError::Twice { .. })));
    for number in 2..50 {
        batch.put(&request.notes, &Note::new("f", number, "ann")).unwrap();
    }
    // Each is a row and two index rows.
    assert_eq!(batch.commit().await, Err(QueryError::BatchTooLarge(49 * 3)));
    let mut batch = request.batch(desk.command());
    let stranger = desk.request(2, Scope::Always).notes;
    assert!(matches!(batch.put(&stranger, &Note::new("f", 1, "ann")), Err(QueryError::Misuse(_))));
}

#[tokio::test]
async fn a_call_visits_a_bounded_number_of_rows_and_goes_on_from_there() {
    let desk = Desk::new();
    for number in 0..20_100 {
        let note = Note::new("f", number, if number % 10_000 == 0 { "ann" } else { "bob" });
        let number = [b"l".to_vec(), (number ^ i64::MIN).to_be_bytes().to_vec()].concat();
        let components = [b"notes".to_vec(), b"tf".to_vec(), number];
        desk.home.plant(RecordKey::new(components).unwrap(), note.encode());
    }
    let notes = desk.request(1, owned_by("ann")).notes;
    let prefix = By::Prefix(RowKey::new(["f"]).unwrap());
    let page = notes.list(&prefix, None, 1000).await.unwrap();
    assert!(page.next.is_some(), "more than {MAX_SCAN_VISITS} rows in one call");
    assert_eq!(list(&notes, &prefix, 1000).await.len(), 3);
}
