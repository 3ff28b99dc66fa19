//! Parts of one cluster's data folders in another's.

use std::{fs, path::Path};

use holdfast_integration_tests::cluster::{Cluster, Server};
use tempfile::tempdir;

use super::{assert_no_panic, refused_start};

/// Exchanges two folders or files.
fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
}

/// That a server with another's part is refused, naming both, and is well when everything is back in its place.
fn refused_with(ours: &mut Server, theirs: &mut Server, parts: &[&str], clusters: [&str; 2]) {
    ours.stop().unwrap();
    theirs.stop().unwrap();
    let nodes = [ours.node.clone().unwrap(), theirs.node.clone().unwrap()];
    for name in parts {
        let (our_part, their_part) = (ours.data().join(name), theirs.data().join(name));
        swap(&our_part, &their_part);
        let named = [clusters[0], clusters[1], &nodes[0], &nodes[1], our_part.to_str().unwrap()];
        refused_start(ours, &named);
        swap(&our_part, &their_part);
    }
    ours.start_and_wait().unwrap();
    theirs.start_and_wait().unwrap();
}

#[test]
fn parts_of_another_clusters_folders_are_refused_and_both_owners_named() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut ours = Cluster::start(one.path(), 1, 1).unwrap();
    let mut theirs = Cluster::start(other.path(), 1, 1).unwrap();
    ours.create_groups(1).unwrap();
    theirs.create_groups(1).unwrap();
    let ids = [ours.founded().unwrap().cluster.clone(), theirs.founded().unwrap().cluster.clone()];
    let clusters = [ids[0].as_str(), ids[1].as_str()];
    let (our_node, their_node) = (ours.node(0).unwrap(), theirs.node(0).unwrap());
    refused_with(our_node, their_node, &["raft", "state", "content"], clusters);
    let (our_voter, their_voter) = (ours.voter(0).unwrap(), theirs.voter(0).unwrap());
    refused_with(our_voter, their_voter, &["raft"], clusters);
    ours.wait_leader().unwrap();
    ours.wait_groups_ready().unwrap();

    whole_identity(&mut ours, &mut theirs);
    assert_no_panic(&ours);
    assert_no_panic(&theirs);
}

/// Not only the stores: certificates and sealed keys of another cluster open nothing here.
fn whole_identity(ours: &mut Cluster, theirs: &mut Cluster) {
    let ids = [ours.founded().unwrap().cluster.clone(), theirs.founded().unwrap().cluster.clone()];
    let (ours, theirs) = (ours.node(0).unwrap(), theirs.node(0).unwrap());
    ours.stop().unwrap();
    theirs.stop().unwrap();
    let of_another = "another machine's".to_owned();
    for (name, says) in [
        ("identity", ids.as_slice()),
        ("sealed", std::slice::from_ref(&of_another)),
        ("tpm", &["belongs to another TPM".to_owned()]),
    ] {
        let (our_part, their_part) = (ours.data().join(name), theirs.data().join(name));
        swap(&our_part, &their_part);
        let mut named = vec![our_part.to_str().unwrap()];
        named.extend(says.iter().map(String::as_str));
        refused_start(ours, &named);
        swap(&our_part, &their_part);
    }
    ours.start_and_wait().unwrap();
}
