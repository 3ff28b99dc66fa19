//! One flipped byte in each file of a data folder: refused at the start by name, or noticed when it is read, and never served.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use holdfast_integration_tests::{
    cluster::{Account, Cluster, Server},
    tpm::Boot,
    wait,
};
use tempfile::tempdir;

use super::{END, assert_there, get, put};

/// Files that the node stores: one in a single chunk, and one in many.
const STORED: [(&str, usize); 2] = [("small", 1000), ("large", 1_500_000)];

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect()
}

/// What came of a start with a damaged file.
enum Outcome {
    Refused,
    Serves,
}

/// All files below a folder that hold anything, by their names in it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match fs::metadata(&path).unwrap() {
                metadata if metadata.is_dir() => folders.push(path),
                metadata if metadata.len() > 0 => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Flips one bit. Doing it again undoes it.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x01], at).unwrap();
}

/// Places of a file that are worth a try: its middle, and in long files what is written rather than reserved.
fn places(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
    let mut places = vec![used / 2];
    if used > 4096 {
        places.extend([used / 5, used.saturating_sub(40)]);
    }
    places.into_iter().map(|place| u64::try_from(place).unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Starts a server and waits until it ends or serves.
fn begin(server: &mut Server) -> Outcome {
    server.start().unwrap();
    wait::until(END, "an end or a service", || {
        if server.ended_by_itself() {
            return Ok(Some(Outcome::Refused));
        }
        Ok(server.log_since_start().contains(" serving ").then_some(Outcome::Serves))
    })
    .unwrap()
}

/// The message of a refusal: the thing and the way out, and no success or panic.
fn check_refusal(server: &mut Server, relative: &Path, folder: &Path) {
    let status = server.wait_end(Duration::from_secs(1)).unwrap();
    let log = server.log_since_start();
    server.kill().unwrap();
    assert!(!status.success(), "{}: success: {log}", relative.display());
    assert!(!log.contains("panicked"), "{}: {log}", relative.display());
    // The file, or the store whose file it is; what `folder.toml` describes is the folder.
    let part = match relative.iter().next().unwrap() {
        name if name == "folder.toml" => folder.to_owned(),
        part => folder.join(part),
    };
    assert!(log.contains(part.to_str().unwrap()), "{} is not named: {log}", relative.display());
    let helps = [
        "backup",
        "join again",
        "replace the replicas",
        "replace this replica",
        "put each back",
        "put the right TPM",
        "remove it",
    ];
    assert!(helps.iter().any(|help| log.contains(help)), "{}: no way out: {log}", relative.display());
}

/// What is read is right or refused with a reason.
fn check_reads(cluster: &Cluster, account: &Account, what: &str) {
    for (name, length) in STORED {
        match get(cluster, account, name) {
            Ok(got) => assert!(got == content(length), "{what}: {name} is silently wrong"),
            Err(finished) => {
                let said = finished.said();
                assert!(said.contains("error:") && !said.contains("panicked"), "{what}: {said}");
                assert!(!said.contains("[not_found]"), "{what}: {name} is denied to exist: {said}");
            }
        }
    }
}

/// Which of a cluster's servers.
type Pick = fn(&mut Cluster) -> &mut Server;

/// Makes a cluster what it was when the picked server was copied.
type Restore = fn(&mut Cluster, &Path);

/// Damages every file of a stopped server, one after the other.
fn damage_each(pick: Pick, reads_with: fn(&Cluster, &Account, &str), restore: Restore) {
    let dir = tempdir().unwrap();
    let (mut cluster, account) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    for (name, length) in STORED {
        assert_eq!(put(&cluster, &account, name, &content(length)).code, 0);
    }
    let folder = pick(&mut cluster).data().to_owned();
    let (sound, tpm) = (dir.path().join("sound"), dir.path().join("sound-tpm"));
    pick(&mut cluster).stop().unwrap();
    copy(&folder, &sound);
    let machine = &mut pick(&mut cluster).machine;
    machine.power_off();
    copy(machine.state(), &tpm);
    machine.boot(Boot::Good).unwrap();
    let registry = dir.path().join("registry");
    drop(cluster.voter(0).unwrap().kill());
    copy(cluster.voter(0).unwrap().data(), &registry);
    restore(&mut cluster, &registry);
    for file in files_in(&sound) {
        let relative = file.strip_prefix(&sound).unwrap().to_owned();
        for place in places(&file) {
            let what =
                format!("{} at byte {place} of {}", relative.display(), file.metadata().unwrap().len());
            let damaged = folder.join(&relative);
            flip(&damaged, place);
            let outcome = begin(pick(&mut cluster));
            let refused = matches!(outcome, Outcome::Refused);
            println!("{what}: {}", if refused { "refused" } else { "serves" });
            match outcome {
                Outcome::Refused => {
                    check_refusal(pick(&mut cluster), &relative, &folder);
                    flip(&damaged, place);
                }
                Outcome::Serves => {
                    reads_with(&cluster, &account, &what);
                    let log = pick(&mut cluster).log_since_start();
                    assert!(!log.contains("panicked"), "{what}: {log}");
                    pick(&mut cluster).kill().unwrap();
                    copy(&sound, &folder);
                    // Its TPM notices a disk that is older than itself.
                    let machine = &mut pick(&mut cluster).machine;
                    machine.power_off();
                    copy(&tpm, machine.state());
                    machine.boot(Boot::Good).unwrap();
                    restore(&mut cluster, &registry);
                }
            }
        }
    }
    pick(&mut cluster).start_and_wait().unwrap();
    for (name, length) in STORED {
        assert_there(&cluster, &account, name, &content(length));
    }
}

#[test]
fn a_flipped_byte_in_any_file_of_a_node_is_refused_by_name_or_noticed_on_read() {
    // The registry remembers how far a lone replica was, and an older copy of it is refused: both are put back together.
    let restore = |cluster: &mut Cluster, registry: &Path| {
        let voter = cluster.voter(0).unwrap();
        drop(voter.kill());
        copy(registry, voter.data());
        voter.start_and_wait().unwrap();
    };
    damage_each(|cluster| cluster.node(0).unwrap(), check_reads, restore);
}

#[test]
fn a_flipped_byte_in_any_file_of_a_voter_is_refused_by_name_or_harmless() {
    damage_each(
        |cluster| cluster.voter(0).unwrap(),
        |cluster, account, what| {
            // The cluster is the same as before, and so are the files.
            let founded = cluster.wait_leader().and_then(|_| cluster.status());
            assert!(founded.is_ok_and(|status| status.groups == 1), "{what}");
            check_reads(cluster, account, what);
        },
        |_, _| {},
    );
}
