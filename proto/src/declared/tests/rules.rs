use holdfast_domain::{Audience, MethodRule};
use prost_reflect::DescriptorPool;

use super::*;
use crate::DESCRIPTORS;

#[test]
fn every_method_of_the_platform_has_a_rule() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let methods: usize = pool.services().map(|service| service.methods().len()).sum();
    let declared = Declared::read(&[DESCRIPTORS, DESCRIPTORS]).unwrap();
    assert!(methods > 0);
    assert_eq!(declared.methods().len(), methods + foreign::methods().len());
    assert!(declared.modules().is_empty());
}

#[test]
fn all_undeclared_methods_are_named_at_once() {
    let refused = refusal(
        "message M {}
         service S {
           rpc A(M) returns (M);
           rpc B(M) returns (M) { option (rule) = {allow: AUDIENCE_NODE}; }
           rpc C(M) returns (stream M) { option (rule) = {}; }
         }",
    );
    assert_eq!(
        refused,
        "these methods declare no rule: t.S.A, t.S.C; \
         give each `option (holdfast.options.v1.rule) = {allow: ...}` or `{check: ...}`"
    );
}

#[test]
fn a_rule_is_an_audience_or_a_check_and_not_both() {
    let refused = refusal(
        r#"message M {}
         service S {
           rpc A(M) returns (M) {
             option (rule) = {allow: AUDIENCE_NODE, check: {action: "get", entity: "Note"}};
           }
         }"#,
    );
    assert_eq!(refused, "the rule of t.S.A has both `allow` and `check`; keep the one that is meant");
}

#[test]
fn an_unspecified_audience_is_no_rule() {
    let refused = refusal(
        "message M {}
         service S { rpc A(M) returns (M) { option (rule) = {allow: AUDIENCE_UNSPECIFIED}; } }",
    );
    assert!(refused.contains("t.S.A names the unknown audience 0"), "{refused}");
}

#[test]
fn a_check_needs_a_module() {
    let refused = refusal(
        r#"message M { Route route = 1; }
         service S { rpc A(M) returns (M) { option (rule) = {check: {action: "get", entity: "M"}}; } }"#,
    );
    assert!(refused.starts_with("t.S.A has a check, but t.S belongs to no module; give"), "{refused}");
    assert!(refused.contains("option (holdfast.options.v1.module)"), "{refused}");
}

#[test]
fn actions_are_words_and_a_reason_to_look_further_is_one() {
    let with = |check: &str| {
        module("m", r#"type: "Note", table: "note", key: "id""#, "string id = 1;")
            .replace(r#"action: "get""#, check)
    };
    let refused = refusal(&with(r#"action: "Get it""#));
    assert!(refused.starts_with(r#"t.S.Get: the action "Get it" is not a lower-case word"#), "{refused}");
    let refused = refusal(&with(r#"action: """#));
    assert!(refused.contains(r#"the action "" is not"#), "{refused}");
    let refused = refusal(&with(r#"action: "get", unfiltered: " ""#));
    assert!(refused.contains("t.S.Get: `unfiltered`"), "{refused}");
    let declared = read(&[("t", &with(r#"action: "get", unfiltered: "counts all""#))]).unwrap();
    let method = declared.methods().find(|method| method.path == "/t.S/Get").unwrap();
    let MethodRule::Check(check) = &method.rule else { panic!("{method:?}") };
    assert_eq!(check.unfiltered.as_deref(), Some("counts all"));
    assert!(method.admits.audiences().eq([Audience::Client]));
    assert_eq!(method.rule_id, "check:m::Note.get");
}

#[test]
fn what_this_version_does_not_know_of_a_rule_is_refused_and_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let options = folder.path().join("holdfast/options/v1");
    std::fs::create_dir_all(&options).unwrap();
    let newer =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/holdfast/options/v1/rule.proto"))
            .unwrap()
            .replace("Check check = 2;", "Check check = 2; string deny = 3;");
    assert!(newer.contains("deny"));
    std::fs::write(options.join("rule.proto"), newer).unwrap();
    let service = shorten(
        r#"syntax = "proto3"; package t; import "holdfast/options/v1/rule.proto"; message M {}
         service S { rpc A(M) returns (M) { option (rule) = {allow: AUDIENCE_NODE, deny: "x"}; } }"#,
    );
    std::fs::write(folder.path().join("t.proto"), service).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).open_files([folder.path().join("t.proto")]).unwrap();
    let refused = Declared::read(&[&compiler.encode_file_descriptor_set()]).unwrap_err();
    assert!(matches!(&refused, DeclareError::Option { of, .. } if of == "t.S.A"), "{refused}");
}

#[test]
fn descriptors_without_services_or_of_something_else_declare_nothing() {
    assert!(matches!(Declared::read(&[]), Err(DeclareError::Empty)));
    assert!(matches!(read(&[("t", "message M {}")]), Err(DeclareError::Empty)));
    assert!(matches!(Declared::read(&[&[0xff; 9]]), Err(DeclareError::Descriptors(_))));
    let mut compiler = protox::Compiler::new([env!("CARGO_MANIFEST_DIR")]).unwrap();
    let module = compiler.include_imports(true).open_files(["holdfast/module/v1/route.proto"]).unwrap();
    assert!(matches!(Declared::read(&[&module.encode_file_descriptor_set()]), Err(DeclareError::NoOption)));
}

#[test]
fn nobody_describes_the_services_that_are_not_ours() {
    let refused = refusal_of(&[(
        "grpc.health.v1",
        "message M {}
         service Health { rpc Check(M) returns (M) { option (rule) = {allow: AUDIENCE_PUBLIC}; } }",
    )]);
    assert_eq!(refused, "/grpc.health.v1.Health/Check is described twice; rename one of them");
}
