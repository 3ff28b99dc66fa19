//! Tells a torn tail from a damaged one.
//!
//! The log engine cuts its newest file at the first batch that does not check out, as it takes that for the write that
//! a crash tore. A flipped byte in the middle would cut acknowledged entries the same way. Every batch therefore
//! carries its number behind a fixed pattern: since batch n is synced before batch n+1 is written, a number in the file
//! that is more than one ahead of what the engine recovered proves that synced batches were lost. The file is then put
//! back as it was, so that every later start refuses too.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Precedes the number of each batch; random, fixed for ever.
const PATTERN: [u8; 16] =
    [0x9d, 0x1e, 0x57, 0xc4, 0x3a, 0xe8, 0x60, 0xb1, 0x0f, 0x72, 0xd9, 0x85, 0x4c, 0x26, 0xfb, 0x13];

/// The value that marks batch `number`.
pub(super) fn mark(number: u64) -> Vec<u8> {
    [PATTERN.as_slice(), &number.to_be_bytes()].concat()
}

/// Reads [`mark`].
pub(super) fn number(mark: &[u8]) -> Option<u64> {
    let (number, []) = mark.strip_prefix(&PATTERN)?.split_first_chunk()? else { return None };
    Some(u64::from_be_bytes(*number))
}

/// The newest file of the log as it was before the engine touched it.
pub(super) struct TailGuard {
    newest_file: Option<(PathBuf, Vec<u8>)>,
    newest_batch: Option<u64>,
}

impl TailGuard {
    /// Looks at a log directory, which may be absent.
    pub(super) fn inspect(dir: &Path) -> io::Result<Self> {
        let Some(path) = newest_file(dir)? else {
            return Ok(Self { newest_file: None, newest_batch: None });
        };
        let bytes = fs::read(&path)?;
        let newest_batch = newest_mark(&bytes);
        Ok(Self { newest_file: Some((path, bytes)), newest_batch })
    }

    /// Compares with the last batch that the engine recovered. Puts the file back when synced batches were cut.
    pub(super) fn lost(self, recovered: Option<u64>) -> io::Result<Option<u64>> {
        let Self { newest_file: Some((path, bytes)), newest_batch: Some(newest) } = self else {
            return Ok(None);
        };
        let recovered = recovered.unwrap_or(0);
        if newest <= recovered.saturating_add(1) {
            return Ok(None);
        }
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(Some(newest.saturating_sub(recovered)))
    }
}

fn newest_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut newest = None;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "raftlog") {
            newest = newest.max(Some(path));
        }
    }
    Ok(newest)
}

fn newest_mark(bytes: &[u8]) -> Option<u64> {
    let end = bytes.iter().rposition(|byte| *byte != 0)?;
    // The number itself may end in zeros.
    let bytes = bytes.get(..end.saturating_add(PATTERN.len()).min(bytes.len()))?;
    bytes
        .windows(PATTERN.len() + 8)
        .filter(|window| window.first() == PATTERN.first())
        .filter_map(number)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_other_bytes() {
        let bytes = [b"abc".as_slice(), &mark(7), &[0x9d, 1], &mark(256), &[0; 100]].concat();
        assert_eq!(newest_mark(&bytes), Some(256));
        assert_eq!(newest_mark(&[0; 100]), None);
    }

    #[test]
    fn one_torn_batch_is_no_loss_and_two_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0000000000000001.raftlog");
        fs::write(&path, [mark(1), mark(2), mark(3)].concat()).unwrap();
        assert_eq!(TailGuard::inspect(dir.path()).unwrap().lost(Some(2)).unwrap(), None);
        let guard = TailGuard::inspect(dir.path()).unwrap();
        fs::write(&path, mark(1)).unwrap();
        assert_eq!(guard.lost(Some(1)).unwrap(), Some(2));
        assert_eq!(newest_mark(&fs::read(&path).unwrap()), Some(3), "the file is as it was");
    }
}
