//! Frozen example bytes of every format: files are only ever added, and every version reads them all.

use std::{fs, path::PathBuf};

use holdfast_domain::{AccountId, HomeId, LoginId, OperatorRequest, Role, SetupPublic, Slot, SpiffeSubject};

use super::{
    devices::{by, client, register},
    world::{HOUR, Machine, World},
};
use crate::{
    AccountChange, Act, AdmitDevice, Command, DeviceChange, Outcome, Recover, Renewal, State, TpmClock,
};

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
    assert!(commands.len() >= 31, "one for each act");
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
        Act::Device(change) => match change {
            DeviceChange::Add { .. } => "device-add",
            DeviceChange::Rotate { .. } => "device-rotate",
            DeviceChange::Revoke(_) => "device-revoke",
            DeviceChange::SetRecovery(_) => "device-set-recovery",
            DeviceChange::Recover(_) => "device-recover",
            DeviceChange::SetLogin(_) => "device-set-login",
            DeviceChange::Admit(_) => "device-admit",
        },
        Act::Account(change) => match change {
            AccountChange::Disable(_) => "account-disable",
            AccountChange::Enable(_) => "account-enable",
            AccountChange::Delete(_) => "account-delete",
            AccountChange::SetRole { .. } => "account-set-role",
            AccountChange::Claim(_) => "account-claim",
            AccountChange::StepDown => "account-step-down",
        },
        Act::Describe { .. } => "describe",
        Act::Standing { .. } => "standing",
        Act::Floors(_) => "floors",
        Act::Rotated { .. } => "rotated",
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
        Act::Describe { node, zone: "a".into(), demands_hardware: false },
        Act::Standing { node, change: crate::StandingChange::Lost },
        Act::Floors(vec![crate::FloorRow { group: holdfast_domain::GroupId(1), replica, floor: (1, 2) }]),
        Act::Rotated {
            group: holdfast_domain::GroupId(1),
            replica,
            generation: holdfast_domain::KeyGeneration(1),
        },
    ] {
        let outcome = world.act(act);
        write(format!("outcome-1-{}.bin", world.log.len()), &Outcome::from(outcome).encode().unwrap());
    }
    write("state-1.bin".into(), &world.state.snapshot().unwrap());
    for (by, act) in people(&mut world) {
        let _ = world.act_by(by, act);
    }
    write("state-2.bin".into(), &world.state.snapshot().unwrap());
    for bytes in &world.log {
        write(format!("command-1-{}.bin", name(&Command::decode(bytes).unwrap().act)), bytes);
    }
}

/// What people do, all of it.
fn people(world: &mut World) -> Vec<(SpiffeSubject, Act)> {
    let token = SetupPublic::new([1; 32]);
    for token in [token, SetupPublic::new([2; 32])] {
        let expires = world.now.plus_ms(HOUR);
        world.ask(OperatorRequest::SetupToken { token, expires }).unwrap();
    }
    (2..5).for_each(|id| register(world, id));
    let account = |id| AccountId::new([id; 16]);
    let (key, login, expires) = ([11; 32], LoginId::new([7; 16]), world.now.plus_ms(HOUR));
    let slot = Slot::of_home(world.map().cluster, HomeId::Login(login));
    let group = world.map().group_of(slot).unwrap().group;
    let node = SpiffeSubject::Node(world.holder(group).0.node());
    let recover = Recover { account: account(2), used: [8; 32], next: [9; 32], client: client(12), key };
    let admit = AdmitDevice { account: account(2), client: client(13), key, login, expires };
    vec![
        (by(2), Act::Device(DeviceChange::Add { client: client(11), key })),
        (by(3), Act::Device(DeviceChange::Rotate { client: client(10), key })),
        (by(2), Act::Device(DeviceChange::Revoke(client(11)))),
        (by(2), Act::Device(DeviceChange::SetRecovery([8; 32]))),
        (by(2), Act::Device(DeviceChange::SetLogin(Some(login)))),
        (World::voter(), Act::Device(DeviceChange::Recover(recover))),
        (node, Act::Device(DeviceChange::Admit(admit))),
        (by(12), Act::Account(AccountChange::Claim(token))),
        (by(12), Act::Account(AccountChange::SetRole { account: account(3), role: Some(Role::Admin) })),
        (by(12), Act::Account(AccountChange::Disable(account(3)))),
        (by(12), Act::Account(AccountChange::Enable(account(3)))),
        (by(12), Act::Account(AccountChange::Disable(account(3)))),
        (by(12), Act::Account(AccountChange::Delete(account(4)))),
        (by(12), Act::Account(AccountChange::StepDown)),
    ]
}
