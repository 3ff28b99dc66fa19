//! Ports, folders and roles that are taken.

use std::net::TcpListener;

use holdfast_integration_tests::cluster::{Cluster, Server};
use tempfile::tempdir;

use super::{assert_failed, assert_no_panic, bounded, refused_start};

#[test]
fn a_taken_port_a_taken_folder_and_the_other_program_are_refused_with_the_way_out() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 1).unwrap();
    let (registry, node) = (cluster.binaries().registry(), cluster.binaries().node());
    let folder = cluster.folder().to_owned();
    let run = |server: &Server| ["run".to_owned(), "--data".to_owned(), server.data().display().to_string()];
    for (server, own, other, is, wants) in [
        (cluster.voters.first_mut().unwrap(), &registry, &node, "registry", "node"),
        (cluster.nodes.first_mut().unwrap(), &node, &registry, "node", "registry"),
    ] {
        let data = server.data().display().to_string();
        // While it runs: a second process, and the wrong program.
        let second = bounded(own, &folder).run(run(server)).unwrap();
        assert_failed(&second, &[&data, "in use by another process", "stop"]);
        let wrong = bounded(other, &folder).run(run(server)).unwrap();
        assert_failed(&wrong, &[&data, is, wants, "start it with the other program"]);

        server.stop().unwrap();
        let taken = TcpListener::bind(server.address()).unwrap();
        refused_start(server, &[&server.address(), "stop what uses it", "`listen`", "folder.toml"]);
        drop(taken);
        server.start_and_wait().unwrap();
    }
    assert_no_panic(&cluster);
}
