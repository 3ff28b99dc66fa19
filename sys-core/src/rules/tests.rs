use holdfast_domain::Audience;
use prost::Message as _;

use super::*;

fn platform() -> RuleTable {
    RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS]).unwrap()
}

#[test]
fn every_method_of_the_platform_has_a_rule() {
    let pool = prost_reflect::DescriptorPool::decode(holdfast_proto::DESCRIPTORS).unwrap();
    let methods: usize = pool.services().map(|service| service.methods().len()).sum();
    assert!(methods > 0);
    assert_eq!(platform().len(), methods + foreign::methods().count());
}

#[test]
fn descriptors_loaded_the_wrong_way_lose_their_rules_and_are_refused() {
    let lossy = prost_types::FileDescriptorSet::decode(holdfast_proto::DESCRIPTORS).unwrap().encode_to_vec();
    let Err(RuleError::Undeclared(methods)) = RuleTable::from_descriptors(&[&lossy]) else {
        panic!("rules survived prost-types: the trap is gone, or the check is");
    };
    assert!(methods.contains(&"holdfast.registry.v1.Directory.Watch".to_owned()));
}

/// Compiles a file that imports the option.
fn compile(service: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        "syntax = \"proto3\"; package t; import \"holdfast/options/v1/rule.proto\"; message M {{}} {service}"
    );
    std::fs::write(folder.path().join("t.proto"), source).unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let mut compiler = protox::Compiler::new([folder.path().to_str().unwrap(), proto]).unwrap();
    compiler.include_imports(true).open_files([folder.path().join("t.proto")]).unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn all_undeclared_methods_are_named_at_once() {
    let set = compile(
        "service S {
           rpc A(M) returns (M);
           rpc B(M) returns (M) { option (holdfast.options.v1.rule) = {allow: AUDIENCE_NODE}; }
           rpc C(M) returns (stream M) { option (holdfast.options.v1.rule) = {}; }
         }",
    );
    let error = RuleTable::from_descriptors(&[&set]).unwrap_err();
    assert_eq!(error.to_string(), "these methods declare no rule: t.S.A, t.S.C");
}

#[test]
fn an_unspecified_audience_is_no_rule() {
    let set = compile(
        "service S {
           rpc A(M) returns (M) { option (holdfast.options.v1.rule) = {allow: AUDIENCE_UNSPECIFIED}; }
         }",
    );
    assert!(matches!(RuleTable::from_descriptors(&[&set]), Err(RuleError::Audience { audience: 0, .. })));
}

#[test]
fn descriptors_without_services_make_no_table() {
    assert!(matches!(RuleTable::from_descriptors(&[]), Err(RuleError::Empty)));
    assert!(matches!(RuleTable::from_descriptors(&[&compile("")]), Err(RuleError::Empty)));
    assert!(matches!(RuleTable::from_descriptors(&[&[0xff; 9]]), Err(RuleError::Descriptors(_))));
}

#[test]
fn a_service_without_descriptors_is_refused_and_one_not_served_is_unknown() {
    assert!(matches!(platform().restrict(&["x.Y"].into()), Err(RuleError::Service(_))));
    let table = platform().restrict(&["holdfast.node.v1.Peer"].into()).unwrap();
    assert!(table.find("/holdfast.node.v1.Peer/FetchChunks").is_some());
    assert!(table.find("/holdfast.registry.v1.Directory/Watch").is_none());
}

#[test]
fn paths_match_exactly_or_not_at_all() {
    let table = platform();
    assert!(table.find("/holdfast.registry.v1.Directory/Watch").is_some());
    for variant in [
        "/holdfast.registry.v1.Directory/Watch/",
        "//holdfast.registry.v1.Directory/Watch",
        "/holdfast.registry.v1.directory/watch",
        "/holdfast.registry.v1.Directory/watch",
        "/holdfast.registry.v1.Directory/%57atch",
        "/holdfast.registry.v1.Directory/Watch?x=1",
        "/holdfast.registry.v1.Directory/",
        "holdfast.registry.v1.Directory/Watch",
        "/holdfast.registry.v1.Directory/../Directory/Watch",
        "",
    ] {
        assert!(table.find(variant).is_none(), "{variant}");
    }
}

#[test]
fn a_rule_names_the_declared_audiences() {
    let table = platform();
    let resolve = table.find("/holdfast.registry.v1.Directory/Resolve").unwrap();
    let audiences: Vec<_> = resolve.rule.audiences().collect();
    assert_eq!(audiences, [Audience::Client, Audience::Node, Audience::Operator]);
    assert_eq!(resolve.rule_id, "allow:client+node+operator");
}
