//! The segments of large content: chunks of several sizes, synced one by one.

use std::path::Path;

use holdfast_domain::{UnixMs, UploadId};
use holdfast_store::{
    SegmentError, SegmentStore, abort_on_failed_sync,
    segments::{ChunkId, ChunkState, NewChunk, SegmentOptions},
};

use super::{Fault, refused};
use crate::child::acknowledge;

/// Small segments, so that several are begun and ended.
const SEGMENT: u64 = 2 << 20;

fn open(folder: &Path) -> Result<SegmentStore, SegmentError> {
    let options = SegmentOptions { segment_bytes: SEGMENT, reserve_bytes: 0, ..SegmentOptions::default() };
    SegmentStore::open(&folder.join("segments"), options)
}

fn chunk(n: u64) -> (NewChunk, Vec<u8>) {
    let len = [40, 700, 5000, 256 * 1024 + 40][usize::try_from(n % 4).unwrap()];
    let mut sealed = vec![u8::try_from(n % 251).unwrap(); len];
    sealed[..8].copy_from_slice(&n.to_be_bytes());
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let upload = UploadId::new([u8::try_from(n / 8 % 256).unwrap(); 16]);
    let index = u32::try_from(n).unwrap();
    (NewChunk { id: ChunkId(id), upload, index, state: ChunkState::Staged, staged_at: UnixMs(0) }, sealed)
}

pub(super) fn write(folder: &Path, first: u64) -> Fault {
    let write = || -> Result<(), SegmentError> {
        let store = open(folder)?;
        for n in first.. {
            let (new, sealed) = chunk(n);
            let position = abort_on_failed_sync(store.append(&new, &sealed))?;
            abort_on_failed_sync(store.sync(position))?;
            acknowledge(n);
        }
        Ok(())
    };
    refused(write().unwrap_err())
}

pub(super) fn check(folder: &Path, acknowledged: u64) -> Result<u64, Fault> {
    let store = open(folder).map_err(refused)?;
    let mut last = 0;
    for n in 1..=acknowledged + 1 {
        let (new, sealed) = chunk(n);
        match store.read(new.id).map_err(refused)? {
            Some(found) if found == sealed => last = n,
            Some(_) => return Err(Fault::Wrong(format!("chunk {n}"))),
            None => break,
        }
    }
    Ok(last)
}
