//! Messages as entities.

use holdfast_domain::FieldValue;
use holdfast_sample_api::{DESCRIPTORS, v1::NoteRow};

use crate::query::{Entity, MessageSchema, MessageSchemaError};

fn note() -> NoteRow {
    NoteRow {
        id: vec![0xab, 1].into(),
        author: "ann".to_owned(),
        size: 7,
        tags: vec!["b".to_owned(), "a".to_owned()],
        password: "secret".to_owned(),
        score: 0.5,
    }
}

#[test]
fn fields_are_read_by_their_declared_names_and_types() {
    let fields = note().fields();
    assert_eq!((&*NoteRow::schema().name, &*NoteRow::schema().table), ("Note", "notes"));
    assert_eq!(NoteRow::schema().key, ["id"]);
    assert_eq!(fields["id"], FieldValue::from("ab01"));
    assert_eq!(fields["size"], FieldValue::Long(7));
    assert_eq!(fields["tags"], FieldValue::TextSet(["a", "b"].map(str::to_owned).into()));
    assert_eq!(fields.len(), 5);
    assert_eq!(NoteRow::stored_fields(&note().encode()).unwrap(), fields);
    assert_eq!(<NoteRow as Entity>::decode(&note().encode()).unwrap(), note());
    assert!(<NoteRow as Entity>::decode(&[0xff]).is_err() && NoteRow::stored_fields(&[0xff]).is_err());
}

#[test]
fn all_uses_of_a_type_see_one_declaration() {
    let asked = || std::thread::spawn(|| std::ptr::from_ref(NoteRow::schema()).addr());
    let seen: std::collections::BTreeSet<_> = [(); 8].map(|()| asked()).map(|at| at.join().unwrap()).into();
    assert_eq!(seen.len(), 1);
}

#[test]
fn an_unset_field_is_its_default_and_a_number_past_all_longs_is_missing() {
    let fields = NoteRow::default().fields();
    assert_eq!((&fields["author"], &fields["size"]), (&"".into(), &FieldValue::Long(0)));
    assert_eq!(NoteRow { size: u64::MAX, ..note() }.fields().get("size"), None);
}

#[test]
fn only_secrets_are_cleared() {
    let mut answer = note();
    answer.redact();
    assert_eq!(answer, NoteRow { password: String::new(), ..note() });
}

#[test]
fn messages_that_are_no_entities_are_refused() {
    for name in ["holdfast.sample.v1.GetRequest", "t.Nothing"] {
        assert!(matches!(MessageSchema::read(DESCRIPTORS, name), Err(MessageSchemaError::NotDeclared(_))));
    }
    assert!(MessageSchema::read(b"x", "holdfast.sample.v1.NoteRow").is_err());
}
