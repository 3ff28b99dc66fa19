use holdfast_domain::Audience;

use super::*;

fn declared() -> Declared {
    Declared::read(DESCRIPTORS).unwrap()
}

/// A module with a method of each kind.
fn notes() -> Declared {
    let folder = tempfile::tempdir().unwrap();
    let source = r#"
        syntax = "proto3"; package notes.v1;
        import "holdfast/module/v1/route.proto";
        import "holdfast/options/v1/module.proto";
        import "holdfast/options/v1/rule.proto";
        service Notes {
          option (holdfast.options.v1.module) = {name: "notes", tablespace: "notes"};
          rpc Count(Request) returns (Note) {
            option (holdfast.options.v1.rule) = {
              check: {action: "count", entity: "Note", unfiltered: "counts all rows"}
            };
          }
          rpc Get(Request) returns (Note) {
            option (holdfast.options.v1.rule) = {check: {action: "get", entity: "Note"}};
          }
          rpc Ping(Request) returns (Note) {
            option (holdfast.options.v1.rule) = {allow: AUDIENCE_PUBLIC};
          }
        }
        message Request { holdfast.module.v1.Route route = 1; }
        message Note {
          option (holdfast.options.v1.entity) = {type: "Note", table: "note", key: "id"};
          bytes id = 1;
        }"#;
    std::fs::write(folder.path().join("notes.proto"), source).unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let mut compiler = protox::Compiler::new([folder.path().to_str().unwrap(), proto]).unwrap();
    compiler.include_imports(true).open_files([folder.path().join("notes.proto")]).unwrap();
    Declared::read(&[&compiler.encode_file_descriptor_set()]).unwrap()
}

/// A change of who may call what shows up in review, as a change of this file.
#[test]
fn the_matrix_is_the_golden_one() {
    let shown = matrix::human(&declared());
    assert_eq!(
        shown,
        include_str!("matrix.txt"),
        "the matrix changed; if that is meant: holdfast authz show > client/src/cli/authz/matrix.txt"
    );
}

#[test]
fn the_golden_matrix_has_every_method_of_every_service() {
    let methods = declared().methods().len();
    let lines = include_str!("matrix.txt").lines().filter(|line| line.starts_with("  ")).count();
    assert_eq!(lines, methods);
    let json = matrix::json(&declared());
    assert_eq!(json["methods"].as_array().unwrap().len(), methods);
}

#[test]
fn columns_stand_under_the_callers_that_they_are_about() {
    let callers = Audience::ALL.map(|audience| audience.as_str().to_uppercase());
    assert_eq!(matrix::HEAD[1..=callers.len()], callers);
}

#[test]
fn methods_that_policies_decide_say_what_they_ask() {
    let shown = matrix::human(&notes());
    let line = |name: &str| {
        let line = shown.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("notes.v1.Notes"), "notes.v1.Notes (module notes)");
    assert_eq!(line("Get"), "Get - policy - - - - Note.get");
    assert_eq!(line("Count"), "Count - policy - - - - Note.count, unfiltered: counts all rows");
    assert_eq!(line("Ping"), "Ping yes yes yes yes yes yes");
}

#[test]
fn programs_get_one_word_for_each_kind_of_caller() {
    let json = matrix::json(&notes());
    let of = |path: &str| {
        json["methods"].as_array().unwrap().iter().find(|method| method["path"] == path).unwrap().clone()
    };
    let get = of("/notes.v1.Notes/Get");
    assert_eq!((&get["module"], &get["method"]), (&"notes".into(), &"Get".into()));
    assert_eq!(get["callers"]["client"], "policy");
    assert_eq!(get["callers"].as_object().unwrap().len(), Audience::ALL.len());
    assert_eq!(get["policy"]["action"], "get");
    assert_eq!(of("/notes.v1.Notes/Count")["policy"]["unfiltered"], "counts all rows");
    let ping = of("/notes.v1.Notes/Ping");
    assert_eq!((&ping["callers"]["public"], &ping["policy"]), (&"yes".into(), &serde_json::Value::Null));
}
