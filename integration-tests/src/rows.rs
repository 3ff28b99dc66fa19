//! Rows of a store that no node has open, read and changed behind its node's back.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use holdfast_store::{Batch, Engine as _, KeyRange, ScanLimit, SledEngine, engine::SledOptions};

/// Every row.
///
/// # Errors
/// The store cannot be read.
pub fn read(store: &Path) -> anyhow::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let engine = open(store)?;
    let (mut rows, mut rest) = (BTreeMap::new(), Some(KeyRange::all()));
    while let Some(range) = rest {
        let page = engine.scan(&range, ScanLimit::MAX)?;
        rows.extend(page.rows.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())));
        rest = page.next.map(|next| range.starting_at(next));
    }
    Ok(rows)
}

/// Changes some, durably.
///
/// # Errors
/// The store cannot be written.
pub fn write(store: &Path, batch: Batch) -> anyhow::Result<()> {
    let engine = open(store)?;
    engine.write(batch)?;
    Ok(engine.barrier()?)
}

/// Puts back every row longer than this that has changed since; how many.
///
/// # Errors
/// The store cannot be read or written.
pub fn put_back(store: &Path, before: &BTreeMap<Vec<u8>, Vec<u8>>, longer: usize) -> anyhow::Result<usize> {
    let now = read(store)?;
    let mut batch = Batch::new();
    for (key, value) in before {
        if value.len() > longer && now.get(key).is_some_and(|now| now != value) {
            batch.put(key.clone(), value.clone());
        }
    }
    let count = batch.ops().len();
    write(store, batch)?;
    Ok(count)
}

fn open(store: &Path) -> anyhow::Result<SledEngine> {
    SledEngine::open(store, &SledOptions::default()).with_context(|| format!("opening {}", store.display()))
}
