//! Keys and flags that do not exist.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use holdfast_integration_tests::binaries::Binaries;
use tempfile::tempdir;

use super::{assert_failed, bounded};

#[test]
fn unknown_keys_of_servers_are_named_with_file_line_and_way_out() {
    let dir = tempdir().unwrap();
    let binaries = Binaries::find().unwrap();
    let data = dir.path().join("data").display().to_string();
    for (program, name, text) in [
        (binaries.node(), "node.toml", "[store]\ncache_mib = 64\nskip_tpm = \"hunter2\"\n"),
        (binaries.registry(), "registry.toml", "[log]\nformat = \"json\"\nskip_tpm = \"hunter2\"\n"),
    ] {
        let config = dir.path().join(name);
        fs::write(&config, text).unwrap();
        let config = config.display().to_string();
        let arguments = ["run", "--data", &data, "--config", &config];
        let finished = bounded(&program, dir.path()).run(arguments).unwrap();
        assert_failed(&finished, &[&config, "line 3", "skip_tpm", "expected", "remove it"]);
        assert!(!finished.said().contains("hunter2"), "{}", finished.said());
    }
}

#[test]
fn unknown_keys_of_a_data_folder_are_named_with_the_way_out() {
    let dir = tempdir().unwrap();
    let binaries = Binaries::find().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(data.join("folder.toml"), "skip_tpm = true\n").unwrap();
    for program in [binaries.node(), binaries.registry()] {
        let arguments = ["run", "--data", &data.display().to_string()];
        let finished = bounded(&program, dir.path()).run(arguments).unwrap();
        assert_failed(&finished, &["folder.toml", "line 1", "skip_tpm", "expected one of", "backup"]);
    }
}

#[test]
fn unknown_keys_of_a_client_are_named_with_the_way_out() {
    let dir = tempdir().unwrap();
    let config = dir.path().join("config.toml");
    for text in ["insecure = true\n", "[contexts.home]\ninsecure = true\n"] {
        fs::write(&config, text).unwrap();
        let program = bounded(&Binaries::find().unwrap().holdfast(), dir.path())
            .with_env("HOLDFAST_CONFIG", config.display().to_string());
        for command in [["status", "-v"], ["files", "ls"], ["context", "list"]] {
            let finished = program.run(command).unwrap();
            assert_failed(&finished, &["config.toml", "insecure", "line", "expected", "try:", "remove"]);
        }
    }
}

#[test]
fn unknown_flags_are_named_with_the_usage() {
    let dir = tempdir().unwrap();
    let binaries = Binaries::find().unwrap();
    let check = |program: &Path, arguments: &[&str]| {
        let finished = bounded(program, dir.path()).run(arguments).unwrap();
        assert_failed(&finished, &["--skip-tpm", "Usage:", "--help"]);
        assert_eq!(finished.code, 2);
    };
    check(&binaries.node(), &["run", "--data", "x", "--skip-tpm"]);
    check(&binaries.node(), &["join", "--skip-tpm"]);
    check(&binaries.registry(), &["run", "--data", "x", "--skip-tpm"]);
    check(&binaries.registry(), &["init", "--skip-tpm"]);
    check(&binaries.holdfast(), &["status", "--skip-tpm"]);
}
