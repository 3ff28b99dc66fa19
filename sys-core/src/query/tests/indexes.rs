//! Rows and their index rows change together.

use super::{
    note::Note,
    support::{Desk, key, list},
};
use crate::{
    module::RecordKey,
    query::{By, Committed, Entity as _},
};

#[tokio::test]
async fn every_change_of_a_row_leaves_exactly_its_index_rows() {
    let desk = Desk::new();
    let notes = desk.everything();
    let mut note = Note::new("f", 1, "ann").tagged(["x", "y"]);
    for change in 0..4 {
        match change {
            0 => {}
            1 => note = note.tagged(["y", "z"]),
            2 => note.owner = "bob".to_owned(),
            _ => note.open = true,
        }
        notes.put(desk.command(), &note).await.unwrap();
        desk.assert_indexes_exact();
    }
    notes.delete(desk.command(), &key("f", 1)).await.unwrap();
    assert_eq!(desk.home.records(), []);
}

#[tokio::test]
async fn an_empty_value_is_a_value() {
    let desk = Desk::new();
    desk.store([Note::new("f", 1, "").tagged([""]), Note::new("f", 2, "ann")]).await;
    for field in ["owner", "tags"] {
        let by = By::Index(field.to_owned(), "".into());
        assert_eq!(list(&desk.everything(), &by, 10).await.len(), 1);
    }
}

#[tokio::test]
async fn a_row_from_before_its_index_can_be_replaced_and_deleted() {
    let desk = Desk::new();
    let number = |number: i64| [b"l".to_vec(), (number ^ i64::MIN).to_be_bytes().to_vec()].concat();
    for at in [1, 2] {
        // No index would take such an owner.
        let note = Note::new("f", at, &"x".repeat(600));
        let components = [b"notes".to_vec(), b"tf".to_vec(), number(at)];
        desk.home.plant(RecordKey::new(components).unwrap(), note.encode());
    }
    let notes = desk.everything();
    assert_eq!(notes.put(desk.command(), &Note::new("f", 1, "ann")).await, Ok(Committed::Applied));
    assert_eq!(notes.delete(desk.command(), &key("f", 2)).await, Ok(Committed::Applied));
    desk.assert_indexes_exact();
}
