//! Frozen example bytes of every format: files are only ever added, and every version reads them all.

use std::{fs, path::PathBuf};

use super::world::{Machine, World};
use crate::{Act, Command, Outcome, Renewal, State, TpmClock};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("frozen")
}

fn frozen(kind: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let named = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()));
    let mut files: Vec<_> = named.filter(|(name, _)| name.starts_with(kind)).collect();
    files.sort();
    files
}

#[test]
fn every_frozen_state_is_read_and_written_the_same() {
    let files = frozen("state-");
    assert!(!files.is_empty());
    for (name, bytes) in files {
        let state = State::restore(&bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(state.counts().groups > 0 && state.genesis().is_some(), "{name}");
        assert_eq!(state.snapshot().unwrap(), bytes, "{name}");
    }
}

#[test]
fn every_frozen_command_and_outcome_is_read_and_written_the_same() {
    let commands = frozen("command-");
    assert!(commands.len() >= 14, "one for each act");
    for (name, bytes) in commands {
        let command = Command::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(command.encode().unwrap(), bytes, "{name}");
    }
    for (name, bytes) in frozen("outcome-") {
        assert_eq!(Outcome::decode(&bytes).unwrap().encode().unwrap(), bytes, "{name}");
    }
}

const fn name(act: &Act) -> &'static str {
    match act {
        Act::Found(_) => "found",
        Act::Admit(_) => "admit",
        Act::Join(_) => "join",
        Act::JoinPending { .. } => "join-pending",
        Act::Renew(_) => "renew",
        Act::VoterAdded { .. } => "voter-added",
        Act::PromoteVoter(_) => "promote-voter",
        Act::VoterPromoted(_) => "voter-promoted",
        Act::VoterRemoved(_) => "voter-removed",
        Act::RegisterClient(_) => "register-client",
        Act::PutWraps(_) => "put-wraps",
        Act::PutMap(_) => "put-map",
        Act::Dropped { .. } => "dropped",
        Act::PutSecrets { .. } => "put-secrets",
    }
}

/// Writes what is missing for the present formats; run it once after adding a format, with `--ignored`.
#[test]
#[ignore = "writes files"]
fn freeze() {
    fs::create_dir_all(folder()).unwrap();
    let write = |name: String, bytes: &[u8]| {
        let path = folder().join(name);
        if !path.exists() {
            fs::write(path, bytes).unwrap();
        }
    };
    let mut world = World::with_groups();
    let invite = world.invite(1);
    let node = Machine(1).node();
    let replica = holdfast_domain::ReplicaId(9);
    let spki = holdfast_domain::SpkiHash::new([1; 32]);
    let joining = || Box::new(Machine(3).joining(holdfast_domain::NodeRole::Node, None));
    for act in [
        Act::JoinPending { pending: holdfast_domain::PendingId::new([1; 16]), joining: joining() },
        Act::Join(joining()),
        Act::Renew(Renewal {
            node,
            address: "a:1".into(),
            listener: spki,
            clock: TpmClock { reset: 2, restart: 0, clock: 1, safe: true },
            pcrs: super::world::pcrs(),
        }),
        Act::VoterAdded { node, replica, address: "a:1".into(), spki },
        Act::PromoteVoter(node),
        Act::VoterPromoted(node),
        Act::VoterRemoved(node),
        Act::RegisterClient(crate::RegisterClient {
            account: holdfast_domain::AccountId::new([1; 16]),
            client: holdfast_domain::ClientId::new([1; 16]),
            key: [1; 32],
            invite,
        }),
        Act::Dropped { group: holdfast_domain::GroupId(1), replica },
        Act::PutSecrets {
            generation: holdfast_domain::KeyGeneration(1),
            replaces: holdfast_domain::Sha256Hash::of(b""),
            sealed: vec![1],
        },
    ] {
        let outcome = world.act(act);
        write(format!("outcome-1-{}.bin", world.log.len()), &Outcome::from(outcome).encode().unwrap());
    }
    for bytes in &world.log {
        write(format!("command-1-{}.bin", name(&Command::decode(bytes).unwrap().act)), bytes);
    }
    write("state-1.bin".into(), &world.state.snapshot().unwrap());
}
