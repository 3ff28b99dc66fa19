//! Secrets that others on the machine could read.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use holdfast_integration_tests::{
    cli::Finished,
    cluster::{Cluster, Role},
};
use tempfile::tempdir;

use super::{assert_failed, refused_start};

fn open_up(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// That a command works on a secret with its own mode only, and says which `chmod` to run.
#[track_caller]
fn refused_while_open(secret: &Path, ask: impl Fn() -> Finished) {
    let mode = fs::metadata(secret).unwrap().permissions().mode() & 0o777;
    for others in [0o040, 0o004, 0o002] {
        open_up(secret, mode | others);
        assert_failed(&ask(), &[&format!("chmod {mode:o} {}", secret.display())]);
    }
    open_up(secret, mode);
    let finished = ask();
    assert_eq!(finished.code, 0, "{}", finished.said());
}

#[test]
fn secrets_that_others_can_read_are_refused_with_the_chmod_to_run() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 0).unwrap();
    let key_in = |folder: &Path, name: &str| folder.join(name);

    let operator = cluster.credential();
    refused_while_open(&key_in(&operator, "operator.key"), || cluster.holdfast().run(["status"]).unwrap());

    let invite = cluster.invite("ann", "1GiB").unwrap();
    refused_while_open(&invite, || register(&cluster, &invite));

    let client = cluster.credential_of("ann");
    refused_while_open(&key_in(&client, "client.key"), || {
        cluster.holdfast().run(["client", "renew", "--context", "ann"]).unwrap()
    });

    let ticket = PathBuf::from(cluster.ticket("one", Role::Node).unwrap());
    let node = cluster.next_node().unwrap();
    let mut arguments =
        node.join_arguments(&cluster.registries(), &cluster.founded().unwrap().root_hash).unwrap();
    arguments.extend(["--ticket-file".to_owned(), ticket.display().to_string()]);
    refused_while_open(&ticket, || node.cli().run(&arguments).unwrap());
    cluster.nodes.push(node);

    for server in cluster.servers() {
        server.stop().unwrap();
        open_up(server.data(), 0o750);
        refused_start(server, &[&format!("chmod 700 {}", server.data().display())]);
        open_up(server.data(), 0o700);
        server.start_and_wait().unwrap();
    }
}

fn register(cluster: &Cluster, invite: &Path) -> Finished {
    let founded = cluster.founded().unwrap();
    let (credential, invite) = (cluster.credential_of("ann"), invite.display().to_string());
    let credential = credential.display().to_string();
    let registry = cluster.registries().concat();
    let arguments = ["client", "init", "--context", "ann", "--credential", &credential];
    let more = ["--invite-file", &invite, "--root-hash", &founded.root_hash, "--registry", &registry];
    cluster.holdfast().run(arguments.iter().chain(&more)).unwrap()
}
