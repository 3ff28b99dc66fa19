//! A machine over an engine in a temporary folder, and frames for it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use holdfast_consensus::{Command as LogCommand, StateMachine};
use holdfast_domain::{ClusterId, CommandId, GroupId, KeyGeneration, PolicyEpoch, Slot, UnixMs};
use holdfast_keys::{Dmk, SlotKeyring};
use holdfast_store::{
    Engine, SledEngine, WriteBehind,
    engine::SledOptions,
    records::{PartitionToken, RecordScope, RowKind, Tablespace, Token},
};

use crate::machine::{
    Batch, Blob, Command, GroupKeys, GroupState, Op, Outcome, Pre, Row as _, SlotEpoch, Table, fingerprint,
};

pub(super) const META: &[u8] = b"meta";
pub(super) const PARTITION: [u8; 16] = [7; 16];

pub(super) fn engine(path: &Path) -> Arc<dyn Engine> {
    let options = SledOptions { cache_bytes: 16 << 20, reserve_bytes: 0, ..SledOptions::default() };
    Arc::new(WriteBehind::over(SledEngine::open(path, &options).unwrap()).unwrap())
}

pub(super) fn keys(group: GroupId) -> GroupKeys {
    GroupKeys::new(ClusterId::new([1; 16]), group, KeyGeneration(1), Dmk::from_bytes([9; 32]))
}

pub(super) fn slot() -> Slot {
    Slot::try_from(5).unwrap()
}

/// One replica's machine.
pub(super) struct Replica {
    pub(super) state: Arc<GroupState>,
    pub(super) machine: Box<dyn StateMachine>,
    pub(super) index: u64,
}

impl Replica {
    /// A group that nobody used, in an engine that others may use too.
    pub(super) fn fresh(engine: &Arc<dyn Engine>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self::open(engine, GroupId(NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(super) fn open(engine: &Arc<dyn Engine>, group: GroupId) -> Self {
        let state = GroupState::open(Arc::clone(engine), keys(group)).unwrap();
        let machine = state.machine();
        Self { state, machine, index: 0 }
    }

    /// With an active slot and keyrings; the keyring is the same for every replica.
    pub(super) fn ready(engine: &Arc<dyn Engine>) -> Self {
        let mut replica = Self::fresh(engine);
        for command in prelude(replica.state.keys().group()) {
            assert_eq!(replica.apply(&command), Outcome::Applied);
        }
        replica
    }

    pub(super) fn apply(&mut self, command: &Command) -> Outcome {
        self.apply_all(std::slice::from_ref(command)).pop().unwrap()
    }

    /// As one call of the machine, each command with its own index.
    pub(super) fn apply_all(&mut self, commands: &[Command]) -> Vec<Outcome> {
        let frames: Vec<_> = commands.iter().map(|command| command.encode().unwrap()).collect();
        self.apply_frames(&frames)
    }

    pub(super) fn apply_frames(&mut self, frames: &[Vec<u8>]) -> Vec<Outcome> {
        let first = self.index + 1;
        let commands: Vec<_> = (first..)
            .zip(frames)
            .map(|(index, bytes)| LogCommand { index, sub: 0, term: 1, bytes })
            .collect();
        self.index += u64::try_from(frames.len()).unwrap();
        let results = self.machine.apply(&commands, META).unwrap();
        results.iter().map(|result| Outcome::decode(result).unwrap()).collect()
    }

    /// Every row but consensus' own, in order.
    pub(super) fn dump(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.machine.snapshot().unwrap().write_to(&mut bytes).unwrap();
        bytes
    }
}

/// Activates the slot and sets its keyrings.
pub(super) fn prelude(group: GroupId) -> [Command; 3] {
    let keyring = SlotKeyring {
        slot: holdfast_keys::SlotKey::from_bytes([2; 32]),
        locator: holdfast_keys::LocatorKey::from_bytes([3; 32]),
        digest: holdfast_keys::DigestKey::from_bytes([4; 32]),
    };
    let row = keys(group).seal_slot(slot(), &keyring).unwrap();
    let under = fingerprint(&row.encode().unwrap());
    [
        Command::ActivateSlots { ranges: vec![(slot(), slot())], epoch: SlotEpoch::FIRST },
        Command::PutSlotKeyring {
            slot: slot(),
            epoch: SlotEpoch::FIRST,
            previous: None,
            generation: row.generation,
            sealed: row.sealed,
        },
        Command::PutPartitionKeyring {
            slot: slot(),
            epoch: SlotEpoch::FIRST,
            partition: PARTITION,
            under,
            previous: None,
            min_generation: KeyGeneration(1),
            sealed: vec![1; 64].into(),
        },
    ]
}

pub(super) fn batch(id: u8, preconditions: Vec<Pre>, ops: Vec<Op>) -> Batch {
    Batch {
        id: CommandId::new([id; 16]),
        at: UnixMs(1_000),
        slot: slot(),
        slot_epoch: SlotEpoch::FIRST,
        partition: PARTITION,
        policy_epoch: PolicyEpoch(0),
        preconditions,
        ops,
    }
}

pub(super) fn key(name: u8) -> Blob {
    key_in(slot(), PARTITION, name)
}

pub(super) fn key_in(slot: Slot, partition: [u8; 16], name: u8) -> Blob {
    let scope = RecordScope {
        slot,
        tablespace: Tablespace(1),
        partition: PartitionToken(partition),
        kind: RowKind::PRIMARY,
    };
    scope.key(&[Token([name; 16])], b"").unwrap().as_bytes().clone().into()
}

/// A record that is well formed and that nobody sealed: the machine cannot tell.
pub(super) fn value(version: u64, generation: u32, fill: u8) -> Blob {
    let mut bytes = vec![1, 1];
    bytes.extend(version.to_be_bytes());
    bytes.extend(generation.to_be_bytes());
    bytes.extend(40u32.to_be_bytes());
    bytes.extend([fill; 80]);
    bytes.into()
}

pub(super) fn put(name: u8, version: u64, fill: u8) -> Op {
    Op::Put { key: key(name), value: value(version, 1, fill) }
}

pub(super) fn is(name: u8, version: u64, fill: u8) -> Pre {
    Pre::Is { key: key(name), version, etag: [fill; 8] }
}

/// A replica's rows, without its place in the log and without slot keyrings: those are sealed for one group.
pub(super) fn rows(replica: &mut Replica) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let dump = replica.dump();
    let mut rows = BTreeMap::new();
    let mut rest = &dump[4..];
    while rest[..4] != [0xff; 4] {
        let len = |bytes: &[u8]| usize::try_from(u32::from_be_bytes(bytes.try_into().unwrap())).unwrap();
        let (key_len, value_len) = (len(&rest[..4]), len(&rest[4..8]));
        let (key, value) = rest[8..8 + key_len + value_len].split_at(key_len);
        if ![Table::Progress.number(), Table::SlotKeyrings.number()].contains(&key[0]) {
            rows.insert(key.to_vec(), value.to_vec());
        }
        rest = &rest[8 + key_len + value_len..];
    }
    rows
}
