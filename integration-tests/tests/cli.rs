//! The programs as people and scripts meet them: help, exit codes, JSON, contexts, modes of secret files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
};

use holdfast_integration_tests::{
    binaries::Binaries,
    cli::{Finished, Program},
    cluster::Cluster,
};
use tempfile::{TempDir, tempdir};

fn programs(dir: &TempDir) -> [Program; 3] {
    let binaries = Binaries::find().unwrap();
    let log = dir.path().join("calls.log");
    [binaries.registry(), binaries.node(), binaries.holdfast()].map(|path| {
        let config = dir.path().join("config.toml").display().to_string();
        Program::new(path, &log).with_env("HOLDFAST_CONFIG", config)
    })
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_program_explains_itself_and_completes_for_shells() {
    let dir = tempdir().unwrap();
    for program in programs(&dir) {
        assert!(program.ok(["--help"]).unwrap().contains("Usage:"));
        assert!(program.ok(["--version"]).unwrap().contains(env!("CARGO_PKG_VERSION")));
        for shell in ["bash", "zsh", "fish"] {
            assert!(program.ok(["completions", shell]).unwrap().contains("holdfast"));
        }
        for wrong in [&["--no-such-flag"][..], &["no-such-verb"], &[]] {
            let finished = program.run(wrong).unwrap();
            assert_eq!(finished.code, 2, "{}: {}", finished.command, finished.said());
            assert!(finished.stdout.is_empty(), "usage errors go to standard error");
        }
    }
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let dir = tempdir().unwrap();
    let (mut cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    let holdfast = ann.holdfast();
    let code = |arguments: &[&str]| holdfast.run(arguments).unwrap().code;
    assert_eq!(code(&["files", "usage"]), 0);
    assert_eq!(code(&["files", "put", "/no/such/file", "--as", "x"]), 1);
    assert_eq!(code(&["files", "put"]), 2);
    assert_eq!(code(&["files", "stat", "nothing"]), 3);
    cluster.node(0).unwrap().stop().unwrap();
    assert_eq!(code(&["files", "ls", "--timeout", "2s"]), 4);
}

#[test]
fn json_goes_to_standard_output_and_refusals_carry_their_reason() {
    let dir = tempdir().unwrap();
    let (cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    let operator = cluster.holdfast();
    for arguments in
        [&["status"][..], &["node", "list"], &["node", "pending"], &["shard", "list"], &["operator", "show"]]
    {
        assert!(operator.json(arguments).unwrap().is_object(), "{arguments:?}");
    }
    let audit = operator.ok(["audit", "-o", "json"]).unwrap();
    assert!(audit.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let Finished { stdout, stderr, .. } = ann.holdfast().run(["files", "stat", "x", "-o", "json"]).unwrap();
    assert!(stdout.is_empty());
    let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error.pointer("/error/reason").and_then(|reason| reason.as_str()), Some("not_found"));
}

#[test]
fn a_file_goes_through_pipes_and_names_keep_their_bytes() {
    let dir = tempdir().unwrap();
    let (cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    let file = cluster.path("hello.txt");
    fs::write(&file, "hello\n").unwrap();
    let name = OsStr::from_bytes(b"a/b \xff\n");
    let put = ["files".as_ref(), "put".as_ref(), file.as_os_str(), "--as".as_ref(), name];
    ann.holdfast().ok(put).unwrap();
    let got =
        ann.holdfast().ok(["files".as_ref(), "get".as_ref(), name, "-O".as_ref(), "-".as_ref()]).unwrap();
    assert_eq!(got, "hello\n");
    // Escaped for terminals, exact for programs.
    let listed = ann.holdfast().ok(["files", "ls"]).unwrap();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(ann.holdfast().ok(["files", "ls", "-o", "json"]).unwrap().contains("612f6220ff0a"));
    ann.holdfast().ok(["files", "rm", "-r", "a"]).unwrap();
    assert_eq!(ann.holdfast().ok(["files", "ls"]).unwrap(), "");
}

#[test]
fn contexts_are_chosen_by_what_a_command_needs() {
    let dir = tempdir().unwrap();
    let (cluster, _) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    let holdfast = cluster.holdfast();
    // One operator, one client: nothing to choose.
    holdfast.ok(["status"]).unwrap();
    holdfast.ok(["files", "usage"]).unwrap();
    cluster.add_account("ben", "1MiB").unwrap();
    // Two clients: the current context decides, and there is none for clients.
    let ambiguous = holdfast.run(["files", "usage"]).unwrap();
    assert_eq!(ambiguous.code, 2, "{}", ambiguous.said());
    assert!(ambiguous.said().contains("ann") && ambiguous.said().contains("ben"));
    holdfast.ok(["context", "use", "ben"]).unwrap();
    let usage = holdfast.json(["files", "usage"]).unwrap();
    assert_eq!(usage.get("quota_bytes").and_then(serde_json::Value::as_u64), Some(1 << 20));
    // A client's context is no operator's.
    assert_ne!(
        holdfast.clone().with_argument("--context").with_argument("ben").run(["status"]).unwrap().code,
        0
    );
    holdfast.ok(["status"]).unwrap();
}

#[test]
fn secrets_are_files_of_mode_600_and_no_output_holds_one() {
    let dir = tempdir().unwrap();
    let (cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    let ticket = cluster.ticket("one", holdfast_integration_tests::cluster::Role::Node).unwrap();
    let invite = cluster.invite("two", "1MiB").unwrap();
    let credential = cluster.credential_of(&ann.context);
    for folder in [cluster.credential(), cluster.path("shares"), credential.clone()] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert_eq!((mode(ticket.as_ref()), mode(&invite)), (0o600, 0o600));
    let said = fs::read_to_string(cluster.path("calls.log")).unwrap();
    for file in [ticket.as_ref(), invite.as_path()] {
        let secret = fs::read_to_string(file).unwrap();
        assert!(!said.contains(secret.trim()), "{} was printed", file.display());
    }
}

#[test]
fn an_invite_works_once() {
    let dir = tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 0).unwrap();
    let invite = cluster.invite("once", "1MiB").unwrap();
    cluster.register("first", &invite).unwrap();
    let again = cluster.register("second", &invite).unwrap_err();
    assert!(format!("{again:#}").contains("invite_unknown"), "{again:#}");
}
