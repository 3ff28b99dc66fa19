//! Messages as entities.

use std::sync::LazyLock;

use holdfast_domain::FieldValue;

use crate::query::{Entity, MessageSchema, MessageSchemaError};

/// What the compiler would generate for `t.Account` below.
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    quota: u64,
    #[prost(string, repeated, tag = "4")]
    groups: Vec<String>,
    #[prost(string, tag = "5")]
    password: String,
    #[prost(double, tag = "6")]
    score: f64,
}

static SET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.proto");
    std::fs::write(
        &file,
        r#"syntax = "proto3"; package t;
        import "holdfast/module/v1/route.proto";
        import "holdfast/options/v1/module.proto";
        import "holdfast/options/v1/rule.proto";
        service S {
          option (holdfast.options.v1.module) = {name: "t", tablespace: "t"};
          rpc Get(Q) returns (Account) {
            option (holdfast.options.v1.rule) = {check: {action: "get", entity: "User"}};
          }
        }
        message Q { holdfast.module.v1.Route route = 1; }
        message Account {
          option (holdfast.options.v1.entity) = {type: "User", table: "users", key: "id"};
          bytes id = 1;
          string name = 2 [(holdfast.options.v1.attr) = {policy: true, index: true}];
          uint64 quota = 3;
          repeated string groups = 4;
          string password = 5 [(holdfast.options.v1.attr) = {secret: true}];
          double score = 6;
        }"#,
    )
    .unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let mut compiler = protox::Compiler::new([folder.path().to_str().unwrap(), proto]).unwrap();
    compiler.include_imports(true).open_files([file]).unwrap();
    compiler.encode_file_descriptor_set()
});

crate::entity! { Account = "t.Account" in SET.as_slice(); }

fn account() -> Account {
    Account {
        id: vec![0xab, 1],
        name: "ann".to_owned(),
        quota: 7,
        groups: vec!["b".to_owned(), "a".to_owned()],
        password: "secret".to_owned(),
        score: 0.5,
    }
}

#[test]
fn fields_are_read_by_their_declared_names_and_types() {
    let fields = account().fields();
    assert_eq!(Account::schema().key, ["id"]);
    assert_eq!(fields["id"], FieldValue::from("ab01"));
    assert_eq!(fields["quota"], FieldValue::Long(7));
    assert_eq!(fields["groups"], FieldValue::TextSet(["a", "b"].map(str::to_owned).into()));
    assert_eq!(fields.len(), 5);
    assert_eq!(Account::stored_fields(&account().encode()).unwrap(), fields);
    assert_eq!(Account::decode(&account().encode()).unwrap(), account());
    assert!(Account::decode(&[0xff]).is_err() && Account::stored_fields(&[0xff]).is_err());
}

#[test]
fn an_unset_field_is_its_default_and_a_number_past_all_longs_is_missing() {
    let fields = Account::default().fields();
    assert_eq!((&fields["name"], &fields["quota"]), (&"".into(), &FieldValue::Long(0)));
    assert_eq!(Account { quota: u64::MAX, ..account() }.fields().get("quota"), None);
}

#[test]
fn only_secrets_are_cleared() {
    let mut answer = account();
    answer.redact();
    assert_eq!(answer, Account { password: String::new(), ..account() });
}

#[test]
fn messages_that_are_no_entities_are_refused() {
    for name in ["t.Q", "t.Nothing"] {
        assert!(matches!(MessageSchema::read(&SET, name), Err(MessageSchemaError::NotDeclared(_))));
    }
    assert!(MessageSchema::read(b"x", "t.Account").is_err());
}
