//! The two storage engines: batches of rows of all sizes in use, a barrier after each few.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use holdfast_faults::draw::Draw;
use holdfast_store::{
    Batch, Engine, EngineError, KeyRange, RedbEngine, ScanLimit, SledEngine, abort_on_failed_sync,
    engine::{Op, RedbOptions, SledOptions},
};

use super::{Fault, Store, refused};
use crate::child::acknowledge;

/// The row that tells the last batch.
const HEAD: &[u8] = b"head";
const SIZES: [usize; 6] = [64, 256, 1024, 4096, 6 * 1024, 64 * 1024];

pub(crate) fn open(store: Store, folder: &Path) -> Result<Box<dyn Engine>, EngineError> {
    let path = folder.join("engine");
    Ok(match store {
        Store::Sled => {
            let options = SledOptions { cache_bytes: 16 << 20, reserve_bytes: 0, view_bytes: 1 << 20 };
            Box::new(SledEngine::open(&path, &options)?)
        }
        _ => Box::new(RedbEngine::open(&path, &RedbOptions { cache_bytes: 16 << 20, reserve_bytes: 0 })?),
    })
}

fn batch(n: u64) -> Batch {
    let mut draw = Draw::new(n);
    let mut batch = Batch::new();
    for _ in 0..=draw.below(8) {
        let key = format!("row/{:03}", draw.below(300));
        if draw.once_in(4) {
            batch.delete(key.into_bytes());
        } else {
            let (size, byte) = (SIZES[draw.index(SIZES.len())], u8::try_from(draw.below(256)).unwrap());
            batch.put(key.into_bytes(), vec![byte; size]);
        }
    }
    batch.put(HEAD, n.to_be_bytes().to_vec());
    batch
}

pub(super) fn write(store: Store, folder: &Path, first: u64) -> Fault {
    let write = || -> Result<(), EngineError> {
        let engine = open(store, folder)?;
        for n in first.. {
            abort_on_failed_sync(engine.write(batch(n)))?;
            if n % 3 == 0 {
                abort_on_failed_sync(engine.barrier())?;
                acknowledge(n);
            }
        }
        Ok(())
    };
    refused(write().unwrap_err())
}

pub(super) fn check(store: Store, folder: &Path) -> Result<u64, Fault> {
    let engine = open(store, folder).map_err(refused)?;
    let head = engine.get(HEAD).map_err(refused)?;
    let last = match head.as_deref().map(<[u8; 8]>::try_from) {
        None => 0,
        Some(Ok(head)) => u64::from_be_bytes(head),
        Some(Err(_)) => return Err(Fault::Wrong("the last batch's row".to_owned())),
    };
    if last > 1_000_000 {
        return Err(Fault::Wrong(format!("a last batch {last}")));
    }
    let mut expected = BTreeMap::<Bytes, Bytes>::new();
    for n in 1..=last {
        for op in batch(n).ops() {
            match op {
                Op::Put { key, value } => drop(expected.insert(key.clone(), value.clone())),
                Op::Delete { key } => drop(expected.remove(key)),
            }
        }
    }
    let (mut found, mut rest) = (BTreeMap::new(), Some(KeyRange::all()));
    while let Some(range) = rest {
        let page = engine.scan(&range, ScanLimit::MAX).map_err(refused)?;
        found.extend(page.rows.into_iter().map(|row| (row.key, row.value)));
        rest = page.next.map(|next| range.starting_at(next));
    }
    if store == Store::Sled {
        let blobs = std::fs::read_dir(folder.join("engine/blobs")).map_or(0, Iterator::count);
        assert_eq!(blobs, 0, "values left the file that the barrier covers");
    }
    if found == expected { Ok(last) } else { Err(Fault::Wrong(format!("rows of batches 1 to {last}"))) }
}
