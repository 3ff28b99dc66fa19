//! Crates depend downwards only, and each dangerous library has one owner.

#![expect(clippy::expect_used, reason = "a test file: its helpers may end the test")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Direct edges as docs/ARCHITECTURE.md draws them; whatever they reach is allowed too.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("keys", &["domain"]),
    ("authz", &["domain"]),
    ("proto", &["domain"]),
    ("module-build", &[]),
    ("sample-api", &["proto"]),
    ("tpm-verify", &["keys"]),
    ("registry-state", &["domain", "tpm-verify"]),
    ("store", &["keys"]),
    ("certs", &["keys"]),
    ("tpm-node", &["tpm-verify"]),
    ("consensus", &["certs", "proto"]),
    ("sys-core", &["authz", "certs", "store", "proto"]),
    ("enrol", &["tpm-node", "certs", "proto"]),
    ("accounts-api", &["proto"]),
    ("accounts", &["sys-core", "accounts-api"]),
    ("files-api", &["proto"]),
    ("files", &["sys-core", "files-api"]),
    ("client", &["enrol", "certs", "proto", "accounts-api", "files-api"]),
    ("registry", &["consensus", "enrol", "sys-core", "registry-state"]),
    ("shard-node", &["consensus", "enrol", "sys-core", "accounts", "files"]),
    ("architecture", &[]),
];

/// Crates that may see everything: they are not part of the product.
const OBSERVERS: &[&str] = &["integration-tests", "bench"];

/// Libraries that only the named crates may reach directly.
const OWNERS: &[(&str, &[&str])] = &[
    ("openraft", &["consensus"]),
    ("raft-engine", &["consensus"]),
    ("sled", &["store"]),
    ("redb", &["store"]),
    ("tss-esapi", &["tpm-node"]),
    ("aes-gcm", &["keys"]),
    ("xaes-256-gcm", &["keys"]),
    ("cedar-policy", &["authz"]),
    ("rustls", &["certs"]),
    ("tokio-rustls", &["certs"]),
];

/// What must stay pure: no runtime, clock, randomness, wire format or consensus library.
const PURE: &[(&str, &[&str])] = &[
    ("domain", &["tokio", "getrandom", "rand", "prost", "tonic", "openraft"]),
    ("authz", &["tokio", "getrandom", "rand", "prost", "tonic", "openraft"]),
    ("registry-state", &["tokio", "getrandom", "rand", "prost", "tonic", "openraft"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path("../../Cargo.toml").exec().expect("cargo metadata")
}

/// Direct dependencies of each of our crates that end up in the product, without the `holdfast-` prefix.
fn direct(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let name = short(package.name.as_str());
            let used = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
            (name, used.map(|d| short(&d.name)).collect())
        })
        .collect()
}

fn short(name: &str) -> String {
    name.strip_prefix("holdfast-").unwrap_or(name).to_owned()
}

fn reachable(from: &str) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        let (_, next) = EDGES.iter().find(|(crate_name, _)| *crate_name == name).expect("crate is drawn");
        for target in *next {
            if seen.insert(*target) {
                open.push((*target).to_owned());
            }
        }
    }
    seen
}

#[test]
fn crates_depend_downwards_only() {
    let metadata = metadata();
    let direct = direct(&metadata);
    let ours: BTreeSet<_> = direct.keys().cloned().collect();
    for (name, used) in &direct {
        if OBSERVERS.contains(&name.as_str()) {
            continue;
        }
        assert!(EDGES.iter().any(|(drawn, _)| drawn == name), "{name} is not in the picture");
        let allowed = reachable(name);
        for target in used.intersection(&ours) {
            assert!(allowed.contains(target.as_str()), "{name} must not depend on {target}");
        }
    }
}

#[test]
fn each_dangerous_library_is_reached_from_its_owner_only() {
    let direct = direct(&metadata());
    for (library, owners) in OWNERS {
        for (name, used) in &direct {
            assert!(
                !used.contains(*library) || owners.contains(&name.as_str()),
                "{name} must not use {library}: it belongs to {owners:?}"
            );
        }
    }
}

#[test]
fn pure_crates_stay_pure() {
    let direct = direct(&metadata());
    for (name, banned) in PURE {
        for library in *banned {
            assert!(!direct[*name].contains(*library), "{name} must not use {library}");
        }
    }
}

#[test]
fn what_tests_stand_on_is_in_no_program() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let shipped = package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development);
        for used in shipped.filter(|used| used.name.starts_with("holdfast-")) {
            let enabled = used.features.iter().any(|feature| feature.contains("testing"));
            assert!(!enabled, "{} must not enable {}/testing", package.name, used.name);
        }
        for (feature, enables) in &package.features {
            let hidden = feature != "testing" && enables.iter().any(|enabled| enabled.contains("testing"));
            assert!(!hidden, "{} enables testing through its feature {feature}", package.name);
        }
    }
}
