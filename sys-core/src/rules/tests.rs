use holdfast_domain::{Audience, MethodRule, Rule};
use prost::Message as _;

use super::*;

fn platform() -> RuleTable {
    RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS]).unwrap()
}

/// A module with one method that policies decide.
pub(crate) fn notes() -> Vec<u8> {
    let source = r#"
        syntax = "proto3"; package notes.v1;
        import "holdfast/module/v1/route.proto";
        import "holdfast/options/v1/module.proto";
        import "holdfast/options/v1/rule.proto";
        service Notes {
          option (holdfast.options.v1.module) = {name: "notes", tablespace: "notes"};
          rpc Get(GetRequest) returns (Note) {
            option (holdfast.options.v1.rule) = {check: {action: "get", entity: "Note"}};
          }
        }
        message GetRequest { holdfast.module.v1.Route route = 1; }
        message Note {
          option (holdfast.options.v1.entity) = {type: "Note", table: "note", key: "id"};
          bytes id = 1;
        }"#;
    compiled("notes.proto", source)
}

/// The descriptors of one file, with everything that it imports.
pub(crate) fn compiled(name: &str, source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), source).unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let mut compiler = protox::Compiler::new([folder.path().to_str().unwrap(), proto]).unwrap();
    compiler.include_imports(true).open_files([folder.path().join(name)]).unwrap();
    compiler.encode_file_descriptor_set()
}

/// The same set as a careless reader leaves it: without custom options.
pub(crate) fn lossy(set: &[u8]) -> Vec<u8> {
    prost_types::FileDescriptorSet::decode(set).unwrap().encode_to_vec()
}

#[test]
fn every_method_of_the_platform_has_a_rule() {
    let pool = prost_reflect::DescriptorPool::decode(holdfast_proto::DESCRIPTORS).unwrap();
    let methods: usize = pool.services().map(|service| service.methods().len()).sum();
    let foreign = platform().methods().filter(|method| method.service.starts_with("grpc.")).count();
    assert!(methods > 0 && foreign == 4);
    assert_eq!(platform().len(), methods + foreign);
}

#[test]
fn descriptors_loaded_the_wrong_way_lose_their_rules_and_are_refused() {
    let lossy = lossy(holdfast_proto::DESCRIPTORS);
    let Err(RuleError::Declared(DeclareError::Undeclared(methods))) = RuleTable::from_descriptors(&[&lossy])
    else {
        panic!("rules survived prost-types: the trap is gone, or the check is");
    };
    assert!(methods.contains(&"holdfast.registry.v1.Directory.Watch".to_owned()));
}

#[test]
fn a_table_knows_the_modules_of_the_methods_that_it_keeps() {
    let notes = notes();
    let table = RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS, &notes]).unwrap();
    let [module] = table.modules() else { panic!("{:?}", table.modules()) };
    assert_eq!(module.name, "notes");
    let method = table.find("/notes.v1.Notes/Get").unwrap();
    assert!(matches!(&method.rule, MethodRule::Check(check) if check.action == "get"));
    assert!(Arc::ptr_eq(method.module.as_ref().unwrap(), module));
    assert_eq!(method.rule_id, "check:notes::Note.get");
    assert_eq!(method.admits, Rule::only(Audience::Client));
    let without = table.restrict(&["holdfast.node.v1.Peer"].into()).unwrap();
    assert!(without.modules().is_empty());
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
    let watch = table.find("/holdfast.registry.v1.Directory/Watch").unwrap();
    let audiences: Vec<_> = watch.admits.audiences().collect();
    assert_eq!(audiences, [Audience::Node, Audience::Registry]);
    assert_eq!(watch.rule, MethodRule::Audience(watch.admits.clone()));
    assert_eq!(watch.rule_id, "allow:node+registry");
}
