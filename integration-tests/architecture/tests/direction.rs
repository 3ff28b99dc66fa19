//! Crates depend downwards only, and each dangerous library has one owner.

#![expect(clippy::expect_used, clippy::panic, reason = "a test file: its helpers may end the test")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Direct edges as docs/ARCHITECTURE.md draws them; whatever they reach is allowed too. Modules are drawn by [`edges`].
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
    ("client", &["enrol", "certs", "proto"]),
    ("registry", &["consensus", "enrol", "sys-core", "registry-state"]),
    ("shard-node", &["consensus", "enrol", "sys-core"]),
    ("architecture", &[]),
    ("disk-faults", &[]),
    ("faults", &[]),
];

/// Crates that may see everything: they are not part of the product.
const OBSERVERS: &[&str] = &["integration-tests", "bench", "simulation"];

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
    ("argon2", &["accounts"]),
    // It dials the mail server, which is no member of the cluster, by rustls of its own: nothing else may.
    ("lettre", &["shard-node"]),
    // The bench dials the program that ours is compared with.
    ("rustls", &["certs", "bench"]),
    ("tokio-rustls", &["certs", "bench"]),
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

/// [`EDGES`] and those of each module: `modules/NAME` uses sys-core and its API, `modules/NAME/api` the platform's messages and nothing of
/// ours besides. Shard nodes use the modules, clients their APIs, and no module another.
fn edges(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let mut edges: BTreeMap<_, _> =
        EDGES.iter().map(|(name, uses)| ((*name).to_owned(), owned(uses))).collect();
    let folder = metadata.workspace_root.join("modules");
    for package in metadata.workspace_packages() {
        let Ok(place) = package.manifest_path.strip_prefix(&folder) else { continue };
        let name = short(package.name.as_str());
        let (uses, user) = match place.components().count() {
            2 => (owned(&["sys-core", &format!("{name}-api")]), "shard-node"),
            _ => (owned(&["proto"]), "client"),
        };
        edges.get_mut(user).expect("drawn").insert(name.clone());
        edges.insert(name, uses);
    }
    edges
}

fn reachable(edges: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        let next = edges.get(&name).unwrap_or_else(|| panic!("{name} is not in the picture"));
        open.extend(next.iter().filter(|target| seen.insert((*target).clone())).cloned());
    }
    seen
}

#[test]
fn crates_depend_downwards_only() {
    let metadata = metadata();
    let (direct, edges) = (direct(&metadata), edges(&metadata));
    let ours: BTreeSet<_> = direct.keys().cloned().collect();
    for (name, used) in &direct {
        if OBSERVERS.contains(&name.as_str()) {
            continue;
        }
        let allowed = reachable(&edges, name);
        for target in used.intersection(&ours) {
            assert!(allowed.contains(target), "{name} must not depend on {target}");
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
