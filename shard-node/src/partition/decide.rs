//! From what a module wants to what goes into the log: names become tokens, values are sealed, versions are drawn.
//!
//! Runs on a state that has everything this replica's term began with, and on what is on its way.

use std::sync::Arc;

use holdfast_consensus::Pending;
use holdfast_domain::{CommandId, PolicyEpoch, Reason, UnixMs};
use holdfast_keys::aead::NonceBatch;
use holdfast_store::records::{RecordKey, RecordVersion, RowKind};
use holdfast_sys_core::{
    errors::Refusal,
    limits::{MAX_COMMIT_OPS, MAX_VALUE_BYTES},
    module::{CommitOutcome, Op, Precondition, RowVersion},
};
use tokio::sync::oneshot;

use super::{
    ShardGroup,
    homes::HomeRef,
    lane::{Ahead, Flight},
    names::Names,
    refusals,
    rows::{Found, HomeRows},
};
use crate::{
    limits::COMMIT_HEADROOM_BYTES,
    machine::{self, Batch, Blob, Command, GroupRow, Pre, SlotRow},
};

/// Nonces that sealing a record takes: of its head and of its body.
const NONCES_OF_RECORD: usize = 2;

/// A command of a module.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) id: CommandId,
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) ops: Vec<Op>,
    /// What it was planned with.
    pub(super) names: Arc<Names>,
}

/// What to do about it.
pub(crate) enum Decision {
    /// It was applied before.
    Duplicate,
    /// A precondition does not hold.
    Conflict,
    /// Commit these, one after another; the last is the command itself, the others only prepare it and may be repeated.
    Propose { ahead: Vec<Batch>, last: Batch },
}

/// What became of a command that was decided among others.
pub(super) enum Started {
    /// Nothing is to be done.
    Over(CommitOutcome),
    /// The home must get its keyrings first.
    NoKeyring,
    /// An earlier try of it is on its way, until then.
    Same(oneshot::Receiver<()>),
    /// It is on its way.
    Running(Flight, Pending),
}

/// A precondition that does not hold ends the decision.
pub(crate) enum Stop {
    Conflict,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<machine::StateError> for Stop {
    fn from(error: machine::StateError) -> Self {
        Self::Refused(error.into())
    }
}

impl Wanted {
    /// Whether it changes nothing but records: those can be decided while others are on their way.
    pub(super) fn is_of_records(&self) -> bool {
        self.ops.iter().all(|op| matches!(op, Op::Put { .. } | Op::Delete(_)))
    }

    fn puts(&self) -> usize {
        self.ops.iter().filter(|op| matches!(op, Op::Put { .. })).count()
    }

    /// # Errors
    /// `Malformed` beyond the limits.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let malformed = |detail: &str| Err(Refusal::new(Reason::Malformed).because(detail));
        if self.ops.len() > MAX_COMMIT_OPS || self.preconditions.len() > MAX_COMMIT_OPS {
            return malformed("too many operations or preconditions");
        }
        let too_large = |op: &Op| matches!(op, Op::Put { value, .. } if value.len() > MAX_VALUE_BYTES);
        if self.ops.iter().any(too_large) {
            return malformed("a value is too large");
        }
        Ok(())
    }
}

impl ShardGroup {
    /// On a nearly full disk only commands that delete something go on.
    fn require_room(&self, wanted: &Wanted) -> Result<(), Refusal> {
        let deletes = |op: &Op| matches!(op, Op::Delete(_) | Op::DropUpload(_) | Op::DropContent(_));
        if wanted.ops.iter().any(deletes) {
            return Ok(());
        }
        self.room.require(|| refusals::segments(self.segments().require_room(COMMIT_HEADROOM_BYTES)))
    }

    /// Decides a command with nothing on its way. Blocks.
    pub(super) fn decide(&self, at: &HomeRef, wanted: &Wanted) -> Result<Decision, Refusal> {
        self.require_room(wanted)?;
        let Some(rows) = self.rows(at)? else {
            return Err(Refusal::new(Reason::Internal).because("the home has no keyring"));
        };
        let rows = HomeRows { names: Arc::clone(&wanted.names), ..rows };
        Ok(self.decide_on(&rows, at, wanted)?.0)
    }

    /// Decides a command of records among others, and hands it to the log. Blocks.
    pub(super) fn start(&self, term: u64, at: &HomeRef, wanted: &Wanted) -> Result<Started, Refusal> {
        self.require_room(wanted)?;
        let lane = self.lane(at.slot);
        let mut ahead = lane.ahead(term);
        if let Some(ended) = ahead.same(wanted.id) {
            return Ok(Started::Same(ended));
        }
        let decided = {
            let Some(rows) = self.rows(at)? else { return Ok(Started::NoKeyring) };
            let rows = HomeRows { ahead: Some(&ahead), names: Arc::clone(&wanted.names), ..rows };
            self.decide_on(&rows, at, wanted)?
        };
        let (batch, high_water) = match decided {
            (Decision::Duplicate, _) => return Ok(Started::Over(CommitOutcome::Duplicate)),
            (Decision::Conflict, _) => return Ok(Started::Over(CommitOutcome::Conflict)),
            (Decision::Propose { ahead: _, last }, high_water) => (last, high_water),
        };
        let command = Command::Batch(batch);
        let pending = self.submit(term, &command)?;
        let Command::Batch(batch) = command else { return Err(Refusal::new(Reason::Internal)) };
        Ok(Started::Running(ahead.add(&lane, &batch, high_water), pending))
    }

    /// With the highest version that was drawn.
    fn decide_on(
        &self,
        rows: &HomeRows<'_>,
        at: &HomeRef,
        wanted: &Wanted,
    ) -> Result<(Decision, u64), Refusal> {
        let scope = rows.codec().scope(RowKind::PRIMARY);
        let seen = || rows.seen(&scope, wanted.id);
        if seen()? {
            return Ok((Decision::Duplicate, 0));
        }
        match self.deciding(rows, at, wanted).and_then(|mut deciding| {
            deciding.preconditions(&wanted.preconditions)?;
            for op in &wanted.ops {
                deciding.op(op)?;
            }
            let high_water = deciding.version;
            Ok((deciding.finish(), high_water))
        }) {
            Ok(decided) => Ok(decided),
            // An earlier try, given up and applied only just now, may be what is in the way of this one.
            Err(Stop::Conflict) if seen()? => Ok((Decision::Duplicate, 0)),
            Err(Stop::Conflict) => Ok((Decision::Conflict, 0)),
            Err(Stop::Refused(refusal)) => Err(refusal),
        }
    }

    fn deciding<'a>(
        &'a self,
        rows: &'a HomeRows<'a>,
        at: &HomeRef,
        wanted: &Wanted,
    ) -> Result<Deciding<'a>, Stop> {
        let slot = match rows.reader.slot(at.slot)? {
            Some(row) if row.serves(row.epoch) => row,
            _ => return Err(Refusal::new(Reason::WrongGroup).into()),
        };
        let policy = rows.reader.get::<GroupRow>(&[])?.unwrap_or_default().min_policy;
        Ok(Deciding {
            shard: self,
            rows,
            now: self.clock().now(),
            version: rows.ahead.map_or(0, Ahead::high_water).max(slot.high_water),
            ahead: Vec::new(),
            nonces: NonceBatch::draw(wanted.puts() * NONCES_OF_RECORD).map_err(refusals::aead)?,
            batch: empty(at, rows, wanted.id, &slot, policy, self.clock().now()),
        })
    }
}

fn empty(
    at: &HomeRef,
    rows: &HomeRows<'_>,
    id: CommandId,
    slot: &SlotRow,
    policy_epoch: PolicyEpoch,
    now: UnixMs,
) -> Batch {
    Batch {
        id,
        at: now,
        slot: at.slot,
        slot_epoch: slot.epoch,
        partition: rows.home.partition.0,
        policy_epoch,
        preconditions: Vec::new(),
        ops: Vec::new(),
    }
}

/// A command being put together.
pub(crate) struct Deciding<'a> {
    pub(crate) shard: &'a ShardGroup,
    pub(crate) rows: &'a HomeRows<'a>,
    pub(crate) now: UnixMs,
    version: u64,
    /// Drawn at once for all records of the command.
    nonces: NonceBatch,
    pub(crate) ahead: Vec<Batch>,
    pub(crate) batch: Batch,
}

impl Deciding<'_> {
    fn finish(self) -> Decision {
        Decision::Propose { ahead: self.ahead, last: self.batch }
    }

    fn preconditions(&mut self, preconditions: &[Precondition]) -> Result<(), Stop> {
        for precondition in preconditions {
            match precondition {
                Precondition::Is(name, version) => self.require_version(name.components(), *version)?,
                Precondition::Absent(name) => self.require_absent(RowKind::PRIMARY, name.components())?,
            }
        }
        Ok(())
    }

    fn require_version(&mut self, name: &[Vec<u8>], version: RowVersion) -> Result<(), Stop> {
        match self.rows.locate(RowKind::PRIMARY, name)?.found {
            Some(found) if found.version() == version => {
                self.require(&found);
                Ok(())
            }
            _ => Err(Stop::Conflict),
        }
    }

    /// Nothing has this name, under any name key.
    pub(crate) fn require_absent<C: AsRef<[u8]>>(&mut self, kind: RowKind, name: &[C]) -> Result<(), Stop> {
        let located = self.rows.locate(kind, name)?;
        if located.found.is_some() {
            return Err(Stop::Conflict);
        }
        let absent = located.named.keys().iter().map(|key| Pre::Absent { key: blob(key) });
        self.batch.preconditions.extend(absent);
        Ok(())
    }

    /// A record stays what was read.
    pub(crate) fn require(&mut self, found: &Found) {
        let pre = Pre::is(blob(&found.key), found.stored.version(), found.stored.etag());
        self.batch.preconditions.push(pre);
    }

    fn op(&mut self, op: &Op) -> Result<(), Stop> {
        match op {
            Op::Put { key, value } => self.put(RowKind::PRIMARY, key.components(), value),
            Op::Delete(key) => self.delete(RowKind::PRIMARY, key.components()),
            Op::BeginUpload(spec) => self.begin_upload(spec),
            Op::PublishUpload(upload) => self.publish_upload(*upload),
            Op::DropUpload(upload) => self.drop_upload(*upload),
            Op::DropContent(file) => self.drop_content(*file),
        }
    }

    /// Writes a row under the newest name key, and takes it away from under older ones.
    pub(crate) fn put<C: AsRef<[u8]>>(&mut self, kind: RowKind, name: &[C], body: &[u8]) -> Result<(), Stop> {
        let named = self.rows.named(kind, name)?;
        let Some((newest, older)) = named.keys().split_last() else {
            return Err(Refusal::new(Reason::Internal).into());
        };
        self.batch.ops.extend(older.iter().map(|old| machine::Op::Delete { key: blob(old) }));
        self.version = self.version.saturating_add(1);
        if self.nonces.left() < NONCES_OF_RECORD {
            self.nonces = NonceBatch::draw(NONCES_OF_RECORD).map_err(refusals::aead)?;
        }
        let sealed =
            self.rows.codec().seal_named(&mut self.nonces, &named, RecordVersion(self.version), body);
        let sealed = sealed.map_err(refusals::record)?;
        self.batch.ops.push(machine::Op::Put { key: blob(newest), value: sealed.as_bytes().clone().into() });
        Ok(())
    }

    pub(crate) fn delete<C: AsRef<[u8]>>(&mut self, kind: RowKind, name: &[C]) -> Result<(), Stop> {
        let named = self.rows.named(kind, name)?;
        self.batch.ops.extend(named.keys().iter().map(|key| machine::Op::Delete { key: blob(key) }));
        Ok(())
    }

    /// The key under which a new row of this name goes.
    pub(crate) fn key<C: AsRef<[u8]>>(&self, kind: RowKind, name: &[C]) -> Result<Blob, Stop> {
        let key = self.rows.codec().key(kind, name, b"").map_err(refusals::record)?;
        Ok(blob(&key))
    }
}

fn blob(key: &RecordKey) -> Blob {
    key.as_bytes().clone().into()
}
