//! A file of sealed chunks: `magic ‖ file id ‖ (length ‖ sealed chunk)*`.
//!
//! Each chunk is bound to the replica, the file, its place and whether it is the last, so that chunks cannot be moved,
//! dropped or cut off unseen.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_keys::Secret32;
use holdfast_keys::aead::{self, Nonce};

use super::{SnapshotStore, damaged};
use crate::limits::SNAPSHOT_CHUNK_BYTES;

const MAGIC: &[u8; 8] = b"HFSNAP1\n";
const FILE_ID_BYTES: usize = 16;

/// What a chunk is bound to.
fn aad(store: &SnapshotStore, file_id: &[u8; FILE_ID_BYTES], index: u64, last: bool) -> Vec<u8> {
    [MAGIC.as_slice(), &store.context, file_id, &index.to_be_bytes(), &[u8::from(last)]].concat()
}

/// Seals what is written, chunk by chunk.
pub(super) struct SealedWriter {
    file: File,
    store: Arc<SnapshotStore>,
    file_id: [u8; FILE_ID_BYTES],
    index: u64,
    buffer: Vec<u8>,
    throttle: Option<(u64, Instant, u64)>,
}

impl SealedWriter {
    pub(super) fn new(
        mut file: File,
        store: Arc<SnapshotStore>,
        bytes_per_second: Option<u64>,
    ) -> io::Result<Self> {
        // A random name, drawn like a key; it is not secret.
        let random = Secret32::generate().map_err(io::Error::other)?;
        let (file_id, _) =
            random.expose_for_wrapping().split_first_chunk().ok_or_else(|| damaged("no file id"))?;
        let file_id = *file_id;
        file.write_all(MAGIC)?;
        file.write_all(&file_id)?;
        let throttle = bytes_per_second.map(|rate| (rate.max(1), Instant::now(), 0));
        Ok(Self {
            file,
            store,
            file_id,
            index: 0,
            buffer: Vec::with_capacity(SNAPSHOT_CHUNK_BYTES),
            throttle,
        })
    }

    /// Ends the current chunk early.
    pub(super) fn end_chunk(&mut self) -> io::Result<()> {
        self.seal(false)
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> io::Result<(File, Arc<SnapshotStore>)> {
        self.seal(true)?;
        Ok((self.file, self.store))
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let aad = aad(&self.store, &self.file_id, self.index, last);
        let nonce = Nonce::draw().map_err(io::Error::other)?;
        let sealed = self.store.cipher.seal(nonce, &aad, &self.buffer).map_err(io::Error::other)?;
        let len = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.file.write_all(&len.to_be_bytes())?;
        self.file.write_all(&sealed)?;
        self.buffer.clear();
        self.index = self.index.saturating_add(1);
        self.wait_for(sealed.len());
        Ok(())
    }

    /// Keeps below the rate.
    fn wait_for(&mut self, bytes: usize) {
        let Some((rate, since, written)) = &mut self.throttle else { return };
        *written = written.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let due_us = written.saturating_mul(1_000_000).checked_div(*rate).unwrap_or(0);
        std::thread::sleep(Duration::from_micros(due_us).saturating_sub(since.elapsed()));
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = SNAPSHOT_CHUNK_BYTES.saturating_sub(self.buffer.len());
        let (taken, _) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= SNAPSHOT_CHUNK_BYTES {
            self.seal(false)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens chunks one after the other; fails on anything that was not written so, and on a cut file.
pub(crate) struct SealedReader {
    file: Arc<File>,
    store: Arc<SnapshotStore>,
    file_id: [u8; FILE_ID_BYTES],
    offset: u64,
    index: u64,
    ended: bool,
    chunk: io::Cursor<Vec<u8>>,
}

impl SealedReader {
    pub(super) fn new(file: Arc<File>, store: Arc<SnapshotStore>) -> io::Result<Self> {
        let mut head = [0; 8 + FILE_ID_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let file_id = head
            .strip_prefix(MAGIC)
            .and_then(|id| id.first_chunk().copied())
            .ok_or_else(|| damaged("it does not begin like one"))?;
        let (offset, chunk) = (24, io::Cursor::default());
        Ok(Self { file, store, file_id, offset, index: 0, ended: false, chunk })
    }

    /// Of the random name.
    pub(super) fn number(&self) -> u64 {
        self.file_id.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
    }

    /// The next chunk, or `None` after the last.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut len = [0; 4];
        self.file.read_exact_at(&mut len, self.offset)?;
        let len = u32::from_be_bytes(len);
        let in_memory = usize::try_from(len).unwrap_or(usize::MAX);
        if in_memory > SNAPSHOT_CHUNK_BYTES.saturating_add(aead::OVERHEAD) {
            return Err(damaged("a chunk is too long"));
        }
        let mut sealed = vec![0; in_memory];
        self.file.read_exact_at(&mut sealed, self.offset.saturating_add(4))?;
        let open = |last| self.store.cipher.open(&aad(&self.store, &self.file_id, self.index, last), &sealed);
        let plain = match open(false) {
            Ok(plain) => plain,
            Err(_) => {
                self.ended = true;
                open(true).map_err(|_| damaged(format!("chunk {} does not open", self.index)))?
            }
        };
        self.offset = self.offset.saturating_add(4).saturating_add(len.into());
        self.index = self.index.saturating_add(1);
        Ok(Some(plain))
    }
}

impl Read for SealedReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            match self.chunk()? {
                Some(next) => self.chunk = io::Cursor::new(next),
                None => return Ok(0),
            }
        }
    }
}
