//! Each refusal, and that its text names the thing and the way out.

mod entities;
mod modules;
mod rules;
mod screens;

use std::fmt::Write as _;

use super::*;

const IMPORTS: &str = r#"
    import "holdfast/module/v1/route.proto";
    import "holdfast/options/v1/module.proto";
    import "holdfast/options/v1/rule.proto";"#;

/// Compiles packages; their files see the platform's options and nothing of each other.
fn compile(packages: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let proto = env!("CARGO_MANIFEST_DIR");
    let mut compiler = protox::Compiler::new([folder.path().to_str().unwrap(), proto]).unwrap();
    compiler.include_imports(true);
    for (at, (package, body)) in packages.iter().enumerate() {
        let file = folder.path().join(format!("{at}.proto"));
        let source = shorten(body);
        std::fs::write(&file, format!("syntax = \"proto3\"; package {package}; {IMPORTS} {source}")).unwrap();
        compiler.open_files([file]).unwrap();
    }
    compiler.encode_file_descriptor_set()
}

/// Tests write `(rule)`, `(module)`, `(entity)`, `(attr)` and `Route`.
fn shorten(body: &str) -> String {
    ["rule", "module", "entity", "attr"]
        .iter()
        .fold(body.to_owned(), |body, name| {
            body.replace(&format!("({name})"), &format!("(holdfast.options.v1.{name})"))
        })
        .replace("Route route", "holdfast.module.v1.Route route")
}

fn read(packages: &[(&str, &str)]) -> Result<Declared, DeclareError> {
    Declared::read(&[&compile(packages)])
}

/// The refusal of one package `t`, in words.
fn refusal(body: &str) -> String {
    refusal_of(&[("t", body)])
}

fn refusal_of(packages: &[(&str, &str)]) -> String {
    read(packages).map(|declared| panic!("not refused: {declared:?}")).unwrap_err().to_string()
}

/// A module with one entity of these fields and one method that checks it.
fn module(name: &str, entity: &str, fields: &str) -> String {
    let mut body = String::new();
    write!(
        body,
        "service S {{
           option (module) = {{name: \"{name}\", tablespace: \"{name}\"}};
           rpc Get(Q) returns (E) {{ option (rule) = {{check: {{action: \"get\", entity: \"Note\"}}}}; }}
         }}
         message Q {{ Route route = 1; }}
         message E {{ option (entity) = {{{entity}}}; {fields} }}"
    )
    .unwrap();
    body
}
