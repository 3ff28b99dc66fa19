//! Every dependency is under a permissive licence, and the lock file names no mirror.

use cargo_metadata::MetadataCommand;

const PERMITTED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MPL-2.0",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "Unicode-3.0",
    "BSL-1.0",
    "OpenSSL",
    "CDLA-Permissive-2.0",
];

/// An SPDX expression is acceptable when every AND part has an acceptable OR choice.
fn acceptable(expression: &str) -> bool {
    let flat = expression.replace('/', " OR ");
    split_top(&flat, " AND ").iter().all(|part| {
        split_top(part, " OR ").iter().any(|choice| {
            let choice = choice.trim();
            match choice.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
                Some(inner) => acceptable(inner),
                None => PERMITTED.contains(&choice),
            }
        })
    })
}

/// Splits at a word that stands outside of parentheses.
fn split_top(text: &str, word: &str) -> Vec<String> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && at >= start && text[at..].starts_with(word) => {
                parts.push(text[start..at].to_owned());
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(text[start..].to_owned());
    parts
}

#[test]
fn every_dependency_is_permissive() {
    let metadata = MetadataCommand::new().manifest_path("../../Cargo.toml").exec().expect("cargo metadata");
    let refused: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(acceptable))
        .map(|package| format!("{} {} ({:?})", package.name, package.version, package.license))
        .collect();
    assert!(refused.is_empty(), "not permissive: {refused:#?}");
}

#[test]
fn the_lock_file_names_no_mirror() {
    let lock = std::fs::read_to_string("../../Cargo.lock").expect("Cargo.lock");
    let foreign: Vec<_> = lock
        .lines()
        .filter(|line| line.starts_with("source = "))
        .filter(|line| *line != r#"source = "registry+https://github.com/rust-lang/crates.io-index""#)
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn copyleft_is_refused_and_choices_are_read() {
    assert!(acceptable("MIT OR GPL-3.0"));
    assert!(acceptable("Apache-2.0 AND (MIT OR AGPL-3.0)"));
    assert!(!acceptable("MIT AND GPL-3.0"));
    assert!(!acceptable("AGPL-3.0-only"));
}
