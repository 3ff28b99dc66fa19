use holdfast_domain::{FieldSchema, FieldType};

use super::*;

/// The refusal of one entity with this option and these fields.
fn refused(entity: &str, fields: &str) -> String {
    refusal(&module("notes", entity, fields))
}

/// The refusal of an attribute on one field.
fn refused_field(field: &str) -> String {
    refused(r#"type: "Note", table: "note", key: "id""#, &format!("string id = 1; {field}"))
}

#[test]
fn fields_have_the_types_of_tables_and_policies() {
    let fields = r#"
        bytes id = 1 [(attr) = {policy: true}];
        uint64 at_ms = 2 [(attr) = {index: true}];
        bool shared = 3 [(attr) = {policy: true, index: true}];
        repeated bytes readers = 4 [(attr) = {policy: true}];
        string pin = 5 [(attr) = {secret: true}];
        Mood mood = 6;
        optional string note = 7;
        double weight = 8;
        map<string, string> labels = 9;
        repeated int32 numbers = 10;
        E nested = 11;
        enum Mood { MOOD_UNSPECIFIED = 0; }"#;
    let body = module("notes", r#"type: "Note", table: "note", key: ["id", "at_ms"]"#, fields);
    let declared = read(&[("t", &body)]).unwrap();
    let note = declared.modules()[0].entity("Note").unwrap();
    assert_eq!(
        (note.table.as_str(), note.key.as_slice()),
        ("note", ["id".to_owned(), "at_ms".into()].as_slice())
    );
    let field = |name: &str, ty, [policy, indexed, secret]: [bool; 3]| FieldSchema {
        name: name.to_owned(),
        ty,
        policy,
        indexed,
        secret,
    };
    assert_eq!(
        note.fields,
        [
            field("id", FieldType::Text, [true, false, false]),
            field("at_ms", FieldType::Long, [false, true, false]),
            field("shared", FieldType::Bool, [true, true, false]),
            field("readers", FieldType::TextSet, [true, false, false]),
            field("pin", FieldType::Text, [false, false, true]),
            field("mood", FieldType::Long, [false; 3]),
            field("note", FieldType::Text, [false; 3]),
        ]
    );
}

#[test]
fn a_key_names_fields_that_are_there_each_once_and_not_too_many() {
    let keyed = |key: &str| format!(r#"type: "Note", table: "note" {key}"#);
    let six = "string a = 1; string b = 2; string c = 3; string d = 4; string e = 5; string f = 6;";
    let text = refused(&keyed(r#", key: "id", key: "owner""#), "string id = 1;");
    assert_eq!(text, "the key of t.E names owner, which is none of its fields; correct the key");
    for (key, fields) in
        [("", 0), (r#", key: "a", key: "a""#, 1), (r#", key: ["a", "b", "c", "d", "e", "f"]"#, 6)]
    {
        let text = refused(&keyed(key), six);
        assert_eq!(text, format!("the key of t.E has {fields} fields; name 1 to 5, each once"));
    }
}

#[test]
fn a_key_field_is_one_plain_value_that_is_always_there() {
    for (field, found) in [
        ("repeated string id = 1;", "a list"),
        ("optional string id = 1;", "optional"),
        ("oneof x { string id = 1; string other = 2; }", "optional"),
        ("double id = 1;", "of no type that tables know"),
        ("E id = 1;", "of no type that tables know"),
        ("map<string, string> id = 1;", "of no type that tables know"),
        ("repeated int64 id = 1;", "of no type that tables know"),
    ] {
        let text = refused(r#"type: "Note", table: "note", key: "id""#, field);
        let expected = format!("t.E.id cannot be part of a key, because it is {found}; make it one boolean");
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn attributes_are_refused_on_fields_that_cannot_have_them() {
    for (field, expected) in [
        ("float f = 2 [(attr) = {policy: true}];", "named by policies, because it is of no type"),
        ("optional string f = 2 [(attr) = {policy: true}];", "named by policies, because it is optional"),
        ("E f = 2 [(attr) = {index: true}];", "an index, because it is of no type"),
        ("optional int64 f = 2 [(attr) = {index: true}];", "an index, because it is optional"),
        ("E f = 2 [(attr) = {secret: true}];", "secret, because it is of no type"),
    ] {
        let text = refused_field(field);
        assert!(text.starts_with(&format!("t.E.f cannot be {expected}")), "{text}");
    }
}

#[test]
fn attributes_outside_entities_are_refused() {
    let body = module("notes", r#"type: "Note", table: "note", key: "id""#, "string id = 1;")
        + "message Reply { string pin = 1 [(attr) = {secret: true}]; }";
    assert!(refusal(&body).starts_with("t.Reply.pin has attributes, but its message is no entity"));
}

#[test]
fn types_and_tables_are_words_and_types_of_every_policy_are_taken() {
    let text = refused(r#"type: "note", table: "note", key: "id""#, "string id = 1;");
    assert!(text.starts_with(r#"t.E: the type "note" is not a CamelCase word"#), "{text}");
    let text = refused(r#"type: "Note", table: "Note", key: "id""#, "string id = 1;");
    assert!(text.starts_with(r#"t.E: the table "Note" is not a lower-case word"#), "{text}");
    for reserved in ["Account", "Role", "Action"] {
        let text = refused(&format!(r#"type: "{reserved}", table: "x", key: "id""#), "string id = 1;");
        assert!(text.contains("is not free"), "{text}");
    }
}

#[test]
fn two_entities_share_neither_type_nor_table() {
    let with = |entity: &str| {
        module("notes", r#"type: "Note", table: "note", key: "id""#, "string id = 1;")
            + &format!("message F {{ option (entity) = {{{entity}, key: \"id\"}}; string id = 1; }}")
    };
    let text = refusal(&with(r#"type: "Note", table: "other""#));
    assert_eq!(text, "t.E and t.F both declare the type Note; give one of them another");
    let text = refusal(&with(r#"type: "Other", table: "note""#));
    assert_eq!(text, "t.E and t.F both declare the table note; give one of them another");
}
