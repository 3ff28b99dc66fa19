//! What the journal of a disk says: for each change of a file or folder how to take it back, and what was synced.
//!
//! A record is in the journal before its change is made, a sync's after the sync: whenever the process dies, whatever is not
//! marked as synced can be taken back. Compiled into both sides: the shim writes it, the maker of power-loss images reads it.

/// A number that grows with each record.
pub type Sequence = u64;

/// One entry of the journal. Paths are below the watched folder, without a leading slash; the folder itself is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Bytes are written. `old` are those of them that were there before.
    Write {
        /// Inode.
        file: u64,
        /// Where.
        offset: u64,
        /// How many.
        len: u64,
        /// Size of the file before.
        size: u64,
        /// The old bytes from `offset` on.
        old: Vec<u8>,
    },
    /// The file's size changes. `old` is the end that is cut off.
    Resize {
        /// Inode.
        file: u64,
        /// Size before.
        size: u64,
        /// Size after.
        to: u64,
        /// What was cut off.
        old: Vec<u8>,
    },
    /// A sync of a file came back.
    Synced {
        /// Inode.
        file: u64,
        /// Changes up to this one are durable.
        upto: Sequence,
    },
    /// A sync of a folder came back.
    FolderSynced {
        /// The folder.
        path: Vec<u8>,
        /// Changes of its entries up to this one are durable.
        upto: Sequence,
    },
    /// A file was made.
    Created {
        /// Inode.
        file: u64,
        /// Its name.
        path: Vec<u8>,
    },
    /// A folder was made.
    MadeFolder {
        /// Its name.
        path: Vec<u8>,
    },
    /// A file or folder gets another name.
    Renamed {
        /// Old name.
        from: Vec<u8>,
        /// New name.
        to: Vec<u8>,
        /// Whether a file had the new name: it lies among the victims under this record's sequence.
        replaced: bool,
    },
    /// A file is removed: it lies among the victims under this record's sequence.
    Removed {
        /// Its name.
        path: Vec<u8>,
    },
    /// An empty folder is removed.
    RemovedFolder {
        /// Its name.
        path: Vec<u8>,
    },
}

impl Record {
    /// The record as it is appended to the journal.
    pub fn encode(&self, sequence: Sequence) -> Vec<u8> {
        let (kind, numbers, texts): (u8, Vec<u64>, [&[u8]; 2]) = match self {
            Self::Write { file, offset, len, size, old } => {
                (1, vec![*file, *offset, *len, *size], [old, &[]])
            }
            Self::Resize { file, size, to, old } => (2, vec![*file, *size, *to], [old, &[]]),
            Self::Synced { file, upto } => (3, vec![*file, *upto], [&[], &[]]),
            Self::FolderSynced { path, upto } => (4, vec![*upto], [path, &[]]),
            Self::Created { file, path } => (5, vec![*file], [path, &[]]),
            Self::MadeFolder { path } => (6, vec![], [path, &[]]),
            Self::Renamed { from, to, replaced } => (7, vec![u64::from(*replaced)], [from, to]),
            Self::Removed { path } => (8, vec![], [path, &[]]),
            Self::RemovedFolder { path } => (9, vec![], [path, &[]]),
        };
        let mut body = vec![kind];
        body.extend(sequence.to_le_bytes());
        numbers.iter().for_each(|number| body.extend(number.to_le_bytes()));
        for text in texts {
            body.extend(length(text));
            body.extend(text);
        }
        let mut framed = length(&body).to_vec();
        framed.extend(body);
        framed
    }
}

fn length(bytes: &[u8]) -> [u8; 8] {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes()
}

/// All whole records of a journal; its end may be torn.
#[allow(dead_code, reason = "the shim only writes")]
pub fn decode(mut journal: &[u8]) -> Vec<(Sequence, Record)> {
    let mut records = Vec::new();
    while let Some(record) = frame(&mut journal).and_then(|mut body| record(&mut body)) {
        records.push(record);
    }
    records
}

fn frame<'a>(journal: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(number(journal)?).ok()?;
    take(journal, len)
}

fn record(body: &mut &[u8]) -> Option<(Sequence, Record)> {
    let kind = *take(body, 1)?.first()?;
    let sequence = number(body)?;
    let record = match kind {
        1 => {
            let [file, offset, len, size] = [number(body)?, number(body)?, number(body)?, number(body)?];
            Record::Write { file, offset, len, size, old: text(body)? }
        }
        2 => {
            let [file, size, to] = [number(body)?, number(body)?, number(body)?];
            Record::Resize { file, size, to, old: text(body)? }
        }
        3 => Record::Synced { file: number(body)?, upto: number(body)? },
        4 => {
            let upto = number(body)?;
            Record::FolderSynced { path: text(body)?, upto }
        }
        5 => Record::Created { file: number(body)?, path: text(body)? },
        6 => Record::MadeFolder { path: text(body)? },
        7 => {
            let replaced = number(body)? == 1;
            Record::Renamed { from: text(body)?, to: text(body)?, replaced }
        }
        8 => Record::Removed { path: text(body)? },
        9 => Record::RemovedFolder { path: text(body)? },
        _ => return None,
    };
    Some((sequence, record))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn text(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(number(bytes)?).ok()?;
    Some(take(bytes, len)?.to_vec())
}
