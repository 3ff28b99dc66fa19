//! A node of one replica whose disk was put back, as a whole or one record of it: nobody else has the data, and it serves nobody from then on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{fs, path::Path, process::Command, time::Duration};

use holdfast_integration_tests::{
    cluster::{Account, Cluster},
    rows, wait,
};
use tempfile::{TempDir, tempdir};

const LENGTH: usize = 9_000;
const PATIENCE: Duration = Duration::from_secs(30);

fn world() -> (TempDir, Cluster, Account) {
    let dir = tempdir().unwrap();
    let (cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    (dir, cluster, ann)
}

fn put(dir: &TempDir, ann: &Account, byte: u8) {
    let file = dir.path().join("file");
    fs::write(&file, vec![byte; LENGTH]).unwrap();
    ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", "secret"]).unwrap();
}

fn get(cluster: &Cluster, ann: &Account) -> Option<Vec<u8>> {
    let got = cluster.fetched("file").unwrap();
    let call = ["--timeout", "3s", "files", "get", "secret", "--to", got.to_str().unwrap()];
    let answer = ann.holdfast().run(call).unwrap();
    (answer.code == 0).then(|| fs::read(&got).unwrap())
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// What operators are told of the one replica.
fn fault(cluster: &Cluster) -> anyhow::Result<Option<String>> {
    let rows = cluster.replicas()?;
    let told = rows.into_iter().flat_map(|row| row.replicas).map(|replica| replica.fault);
    Ok(told.into_iter().find(|fault| !fault.is_empty()))
}

fn refused(cluster: &Cluster, ann: &Account, cause: &str) {
    let told = wait::until(PATIENCE, "operators are told", || fault(cluster)).unwrap();
    assert!(told.contains(cause), "{told}");
    assert_eq!(get(cluster, ann), None);
}

#[test]
fn a_lone_replica_of_a_disk_that_was_put_back_serves_nobody_though_the_registry_was_put_back_too() {
    let (dir, mut cluster, ann) = world();
    put(&dir, &ann, 1);
    let folders = [cluster.node(0).unwrap().data().to_owned(), cluster.voter(0).unwrap().data().to_owned()];
    let images = [dir.path().join("node.image"), dir.path().join("voter.image")];
    let off = |cluster: &mut Cluster| {
        cluster.node(0).unwrap().kill().unwrap();
        cluster.voter(0).unwrap().kill().unwrap();
    };
    let on = |cluster: &mut Cluster| {
        cluster.voter(0).unwrap().start_and_wait().unwrap();
        cluster.node(0).unwrap().start_and_wait().unwrap();
    };
    off(&mut cluster);
    folders.iter().zip(&images).for_each(|(folder, image)| copy(folder, image));
    // Killed once more with the disk that it had, it goes on.
    on(&mut cluster);
    put(&dir, &ann, 2);
    off(&mut cluster);
    on(&mut cluster);
    assert_eq!(get(&cluster, &ann), Some(vec![2; LENGTH]));
    assert_eq!(fault(&cluster).unwrap(), None);

    off(&mut cluster);
    folders.iter().zip(&images).for_each(|(folder, image)| copy(image, folder));
    on(&mut cluster);
    refused(&cluster, &ann, "rolled back");
    // Another start is no way around it.
    cluster.node(0).unwrap().stop().unwrap();
    cluster.node(0).unwrap().start_and_wait().unwrap();
    refused(&cluster, &ann, "rolled back");
}

#[test]
fn a_lone_replica_with_an_old_copy_of_one_record_serves_nobody() {
    let (dir, mut cluster, ann) = world();
    put(&dir, &ann, 1);
    let state = cluster.node(0).unwrap().data().join("state");
    cluster.node(0).unwrap().stop().unwrap();
    let before = rows::read(&state).unwrap();
    cluster.node(0).unwrap().start_and_wait().unwrap();
    put(&dir, &ann, 2);
    cluster.node(0).unwrap().stop().unwrap();
    assert_eq!(rows::put_back(&state, &before, LENGTH).unwrap(), 1, "the record of the file");
    cluster.node(0).unwrap().start_and_wait().unwrap();
    refused(&cluster, &ann, "digests");
}
