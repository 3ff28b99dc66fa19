//! What a new module consists of.

use super::name::ModuleName;

/// Path in the module's folder, and content.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("src/limits.rs", include_str!("template/limits.rs.in")),
    ("src/service.rs", include_str!("template/service.rs.in")),
    ("src/{{name}}.cedar", include_str!("template/module.cedar.in")),
    ("src/tests.rs", include_str!("template/tests.rs.in")),
    ("src/tests/matrix.txt", include_str!("template/matrix.txt.in")),
    ("api/Cargo.toml", include_str!("template/api-Cargo.toml.in")),
    ("api/build.rs", include_str!("template/api-build.rs.in")),
    ("api/src/lib.rs", include_str!("template/api-lib.rs.in")),
    ("api/holdfast/{{name}}/v1/{{name}}.proto", include_str!("template/module.proto.in")),
];

/// All files of a module with this name.
pub(super) fn files(name: &ModuleName) -> impl Iterator<Item = (String, String)> {
    let (camel, lower) = (name.camel(), name.as_str().to_owned());
    let fill = move |text: &str| text.replace("{{name}}", &lower).replace("{{Name}}", &camel);
    FILES.iter().map(move |(path, text)| (fill(path), fill(text)))
}
