//! Snapshots: every row of an incarnation as of one moment.
//!
//! ```text
//! "HFS1" ‖ (len key ‖ len value ‖ key ‖ value)… ‖ ff ff ff ff ‖ count      lengths are 4 bytes, the count 8, big-endian
//! ```
//! A key is its table's number and its row key. What is installed is written beside the present rows and made durable before the
//! one write that makes it count.

use std::io::{self, Read, Write};

use bytes::Bytes;
use holdfast_consensus::{MachineError, SnapshotView};
use holdfast_store::{
    Batch, ScanLimit, View, abort_on_failed_sync, engine,
    limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES},
};

use super::{
    GroupState, Incarnation, Prefix, StateError, Table, layout,
    rows::{Row as _, SlotKeyringRow},
};
use crate::limits::{MAX_WRITE_BYTES, MAX_WRITE_OPS};

const MAGIC: &[u8; 4] = b"HFS1";
const END: u32 = u32::MAX;

/// Why a snapshot was not written or not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SnapshotError {
    #[error("the snapshot cannot be read or written")]
    Io(#[from] io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("storage engine")]
    Engine(#[from] holdfast_store::EngineError),
    #[error("not a snapshot of a shard group: {0}")]
    Malformed(&'static str),
}

/// The state as of now.
pub(super) fn view(state: &GroupState) -> Result<Box<dyn SnapshotView>, StateError> {
    let reader = state.read();
    Ok(Box::new(Frozen { view: state.engine().view(reader.prefix().range())? }))
}

struct Frozen {
    view: Box<dyn View>,
}

impl SnapshotView for Frozen {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), MachineError> {
        write(&*self.view, out).map_err(MachineError::new)
    }
}

fn write(view: &dyn View, out: &mut dyn Write) -> Result<(), SnapshotError> {
    out.write_all(MAGIC)?;
    let (mut count, mut rest) = (0u64, Some(view.range().clone()));
    while let Some(range) = rest {
        let page = view.scan(&range, ScanLimit::MAX)?;
        for row in &page.rows {
            let tail = layout::tail(&row.key);
            if tail.first() != Some(&Table::Meta.number()) {
                write_row(out, tail, &row.value)?;
                count = count.saturating_add(1);
            }
        }
        rest = page.next.map(|next| range.starting_at(next));
    }
    out.write_all(&END.to_be_bytes())?;
    Ok(out.write_all(&count.to_be_bytes())?)
}

fn write_row(out: &mut dyn Write, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
    let len =
        |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| SnapshotError::Malformed("a row is too long"));
    out.write_all(&len(key)?.to_be_bytes())?;
    out.write_all(&len(value)?.to_be_bytes())?;
    out.write_all(key)?;
    Ok(out.write_all(value)?)
}

/// Replaces the state.
pub(super) fn install(state: &GroupState, snapshot: &mut dyn Read, meta: &[u8]) -> Result<(), SnapshotError> {
    let (group, present) = (state.keys().group(), state.incarnation());
    let next =
        Incarnation(present.0.checked_add(1).ok_or(SnapshotError::Malformed("no incarnation is left"))?);
    let (old, new) = (Prefix::new(group, present), Prefix::new(group, next));
    let engine = &**state.engine();
    // An install that did not finish may have left rows.
    engine::clear(engine, &new.range())?;
    if let Err(error) = fill(state, &new, snapshot) {
        engine::clear(engine, &new.range())?;
        return Err(error);
    }
    abort_on_failed_sync(engine.barrier())?;
    flip(state, engine, next, meta)?;
    state.news().everything();
    engine::clear(engine, &old.range())?;
    Ok(())
}

/// The one write after which the new rows count.
fn flip(
    state: &GroupState,
    engine: &dyn engine::Engine,
    next: Incarnation,
    meta: &[u8],
) -> Result<(), SnapshotError> {
    let group = state.keys().group();
    let mut batch = Batch::new();
    batch.put(Prefix::new(group, next).key(Table::Meta, &[]), meta.to_vec());
    batch.put(layout::pointer(group), next.0.to_be_bytes().to_vec());
    let mut incarnation = state.incarnation_mut();
    engine.write(batch)?;
    *incarnation = next;
    Ok(())
}

fn fill(state: &GroupState, prefix: &Prefix, from: &mut dyn Read) -> Result<(), SnapshotError> {
    let engine = &**state.engine();
    if read_array(from)? != *MAGIC {
        return Err(SnapshotError::Malformed("it does not begin like one"));
    }
    let (mut batch, mut count) = (Batch::new(), 0u64);
    while let Some((key, value)) = read_row(from)? {
        if key.first() == Some(&Table::SlotKeyrings.number()) {
            // Rows that this replica could not open would stop it at the next command.
            let generation = SlotKeyringRow::decode(&value)?.generation;
            state.keys().await_generation(generation).map_err(StateError::from)?;
        }
        batch.put(prefix.raw(&key), value);
        count = count.saturating_add(1);
        if batch.ops().len() >= MAX_WRITE_OPS || batch.byte_len() >= MAX_WRITE_BYTES {
            engine.write(std::mem::take(&mut batch))?;
        }
    }
    if u64::from_be_bytes(read_array(from)?) != count {
        return Err(SnapshotError::Malformed("rows are missing"));
    }
    Ok(engine.write(batch)?)
}

fn read_row(from: &mut dyn Read) -> Result<Option<(Bytes, Bytes)>, SnapshotError> {
    let key_len = u32::from_be_bytes(read_array(from)?);
    if key_len == END {
        return Ok(None);
    }
    let value_len = u32::from_be_bytes(read_array(from)?);
    let key = read_bytes(from, key_len, MAX_KEY_BYTES - Prefix::table_len())?;
    match key.first().copied().and_then(Table::from_number) {
        None => Err(SnapshotError::Malformed("a row of an unknown table")),
        Some(Table::Meta) => Err(SnapshotError::Malformed("a row that belongs to consensus")),
        Some(_) => Ok(Some((key, read_bytes(from, value_len, MAX_VALUE_BYTES)?))),
    }
}

fn read_bytes(from: &mut dyn Read, len: u32, max: usize) -> Result<Bytes, SnapshotError> {
    match usize::try_from(len) {
        Ok(len) if len <= max => {
            let mut bytes = vec![0; len];
            from.read_exact(&mut bytes)?;
            Ok(bytes.into())
        }
        _ => Err(SnapshotError::Malformed("a row is too long")),
    }
}

fn read_array<const N: usize>(from: &mut dyn Read) -> Result<[u8; N], SnapshotError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
