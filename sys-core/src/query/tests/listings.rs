//! Pages: what they hold, what their cursors are good for, and what writers in between do to them.

use std::collections::BTreeSet;

use holdfast_authz::{RowFilter, Scope, Test};
use holdfast_domain::{FieldValue, Reason};

use super::{
    note::Note,
    support::{Desk, key, list, owned_by, refused},
};
use crate::{
    module::{Cursor, RecordKey},
    query::{By, RowKey},
};

async fn some_notes() -> (Desk, Vec<Note>) {
    let desk = Desk::new();
    let notes: Vec<_> = (0..40usize)
        .zip(-20i64..)
        .map(|(number, signed)| {
            let owner = ["ann", "bob", "cyd"][number % 3];
            let folder = ["f", "ff"][number % 2];
            let note = Note::new(folder, signed, owner);
            if number % 5 == 0 { note.tagged(["x", "y"]) } else { note }
        })
        .collect();
    desk.store(notes.clone()).await;
    (desk, notes)
}

fn sorted(mut notes: Vec<Note>) -> Vec<Note> {
    notes.sort();
    notes
}

fn by_tag(tag: &str) -> By {
    By::Index("tags".to_owned(), tag.into())
}

#[tokio::test]
async fn each_listing_gives_its_rows_once_for_any_page_size() {
    let (desk, notes) = some_notes().await;
    let prefix = By::Prefix(RowKey::new(["f"]).unwrap());
    let whole_key = By::Prefix(key("f", -20));
    let owner = By::Index("owner".to_owned(), "bob".into());
    type Wanted = fn(&Note) -> bool;
    let cases: [(By, Wanted); 5] = [
        (By::Everything, |_| true),
        (prefix, |note| note.folder == "f"),
        (whole_key, |note| note.number == -20),
        (owner, |note| note.owner == "bob"),
        (by_tag("y"), |note| note.tags.contains("y")),
    ];
    // Those of a folder are looked up where its keys are.
    let within = |folders: &[&str]| {
        let folders = folders.iter().map(|folder| FieldValue::from(*folder)).collect();
        Scope::Rows(RowFilter::Field("folder".to_owned(), Test::OneOf(folders)))
    };
    let folders = [within(&["f"]), within(&["ff", "none", "f"]), within(&[])];
    for scope in [Scope::Always, owned_by("ann"), owned_by("bob")].into_iter().chain(folders) {
        for (by, wanted) in &cases {
            let sees = |note: &Note| match &scope {
                Scope::Rows(filter) => filter.admits(&crate::query::Entity::fields(note)),
                _ => true,
            };
            let wanted: Vec<_> = notes.iter().filter(|note| wanted(note) && sees(note)).cloned().collect();
            for limit in [1, 3, 1000] {
                let found = list(&desk.request(1, scope.clone()).notes, by, limit).await;
                assert_eq!(sorted(found), sorted(wanted.clone()), "{by:?} {scope:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_row_that_two_indexes_of_the_scope_find_is_given_once() {
    let (desk, notes) = some_notes().await;
    let either = |parts: Vec<(&str, FieldValue)>| {
        let parts =
            parts.into_iter().map(|(field, value)| RowFilter::Field(field.to_owned(), Test::Is(value)));
        Scope::Rows(RowFilter::Any(parts.collect()))
    };
    let scope = either(vec![("owner", "ann".into()), ("owner", "bob".into()), ("open", false.into())]);
    let found = list(&desk.request(1, scope).notes, &By::Everything, 7).await;
    assert_eq!(sorted(found), sorted(notes));
}

#[tokio::test]
async fn a_cursor_is_good_for_its_caller_listing_and_scope_only() {
    let (desk, _) = some_notes().await;
    let mine = desk.request(1, owned_by("ann")).notes;
    let next = mine.list(&By::Everything, None, 3).await.unwrap().next.unwrap();
    let other_prefix = By::Prefix(RowKey::new(["f"]).unwrap());
    let same_rows = By::Index("owner".to_owned(), "ann".into());
    assert_eq!(refused(mine.list(&other_prefix, Some(&next), 3).await), Reason::Malformed);
    assert_eq!(refused(mine.list(&same_rows, Some(&next), 3).await), Reason::Malformed);
    let other_client = desk.request(2, owned_by("ann")).notes;
    assert_eq!(refused(other_client.list(&By::Everything, Some(&next), 3).await), Reason::Malformed);
    for scope in [owned_by("bob"), Scope::Always] {
        let narrower = desk.request(1, scope).notes;
        assert_eq!(refused(narrower.list(&By::Everything, Some(&next), 3).await), Reason::Malformed);
    }
    let forged = Cursor(vec![9; 16]);
    assert_eq!(refused(mine.list(&By::Everything, Some(&forged), 3).await), Reason::Malformed);
    let later = desk.request(1, owned_by("ann")).notes;
    assert!(later.list(&By::Everything, Some(&next), 3).await.is_ok());
}

#[tokio::test]
async fn rows_that_nobody_touches_come_exactly_once_while_others_come_and_go() {
    for by in [By::Everything, by_tag("x")] {
        let desk = Desk::new();
        let stay: Vec<_> = (0..30).map(|number| Note::new("stay", number, "ann").tagged(["x"])).collect();
        let go: Vec<_> = (0..30).map(|number| Note::new("go", number, "ann").tagged(["x"])).collect();
        desk.store(stay.iter().chain(&go).cloned()).await;
        let notes = desk.everything();
        let (mut found, mut cursor, mut number) = (Vec::new(), None, 0);
        loop {
            let page = notes.list(&by, cursor.as_ref(), 4).await.unwrap();
            found.extend(page.rows.into_iter().map(|row| row.into_row()));
            notes.delete(desk.command(), &key("go", number)).await.unwrap();
            notes.put(desk.command(), &Note::new("new", number, "ann").tagged(["x"])).await.unwrap();
            number += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let unique: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(unique.len(), found.len(), "a row came twice");
        assert!(stay.iter().all(|note| unique.contains(note)), "a row is missing");
    }
}

#[tokio::test]
async fn an_index_row_that_its_row_does_not_bear_out_finds_nothing() {
    let desk = Desk::new();
    desk.store([Note::new("f", 1, "ann")]).await;
    let component = |text: &str| [b"t", text.as_bytes()].concat();
    let number = [b"l".to_vec(), (1i64 ^ i64::MIN).to_be_bytes().to_vec()].concat();
    for folder in ["f", "gone"] {
        let components = [b"notes\0owner".to_vec(), component("bob"), component(folder), number.clone()];
        desk.home.plant(RecordKey::new(components).unwrap(), Vec::new());
    }
    let by = By::Index("owner".to_owned(), "bob".into());
    assert_eq!(list(&desk.everything(), &by, 10).await, []);
    assert_eq!(list(&desk.request(1, owned_by("bob")).notes, &By::Everything, 10).await, []);
}

#[tokio::test]
async fn fields_without_an_index_and_values_of_another_type_are_refused() {
    let desk = Desk::new();
    let notes = desk.everything();
    for (field, value) in [("password", "x".into()), ("nothing", "x".into()), ("open", FieldValue::from("x"))]
    {
        let by = By::Index(field.to_owned(), value);
        assert_eq!(refused(notes.list(&by, None, 1).await), Reason::Malformed);
    }
    let too_long = By::Prefix(RowKey::new(["a", "b", "c"]).unwrap());
    assert_eq!(refused(notes.list(&too_long, None, 1).await), Reason::Malformed);
}
