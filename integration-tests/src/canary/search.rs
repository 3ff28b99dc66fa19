//! Many needles in one pass over a stream.

use std::collections::{BTreeSet, HashMap};

use super::MIN_NEEDLE;

/// Bytes read at once.
pub(super) const BLOCK: usize = 1 << 20;
/// Bytes of a needle that decide whether it is looked at closely.
const HEAD: usize = 8;
const FILTER_BITS: u32 = 22;
/// Bytes of emptiness that are skipped at once.
const EMPTY: usize = 4096;

/// What is looked for.
pub struct Needles {
    /// One bit for each hash of a head: almost every position ends here.
    filter: Vec<u64>,
    by_head: HashMap<u64, Vec<usize>>,
    needles: Vec<(String, Vec<u8>)>,
    known: BTreeSet<Vec<u8>>,
    longest: usize,
}

impl Needles {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            filter: vec![0; 1 << (FILTER_BITS - 6)],
            by_head: HashMap::new(),
            needles: Vec::new(),
            known: BTreeSet::new(),
            longest: MIN_NEEDLE,
        }
    }

    /// Adds one, unless it is too short to mean anything, begins with nothing but zeroes, or is known already.
    pub fn add(&mut self, what: String, bytes: &[u8]) {
        let Some(head) = head(bytes).filter(|head| *head != 0) else { return };
        if bytes.len() < MIN_NEEDLE || !self.known.insert(bytes.to_vec()) {
            return;
        }
        let (word, bit) = place(head);
        if let Some(word) = self.filter.get_mut(word) {
            *word |= bit;
        }
        self.by_head.entry(head).or_default().push(self.needles.len());
        self.needles.push((what, bytes.to_vec()));
        self.longest = self.longest.max(bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.needles.len()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.needles.get(index).map(|(_, bytes)| bytes.as_slice())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    fn at<'a>(&'a self, rest: &[u8], found: &mut impl FnMut(&'a str)) {
        let Some(head) = head(rest) else { return };
        let (word, bit) = place(head);
        if self.filter.get(word).is_none_or(|word| word & bit == 0) {
            return;
        }
        for index in self.by_head.get(&head).into_iter().flatten() {
            if let Some((what, bytes)) = self.needles.get(*index)
                && rest.starts_with(bytes)
            {
                found(what);
            }
        }
    }
}

impl Default for Needles {
    fn default() -> Self {
        Self::new()
    }
}

/// One stream that is searched as it comes, across the borders of its pieces.
pub struct Scan<'a> {
    needles: &'a Needles,
    kept: Vec<u8>,
}

impl<'a> Scan<'a> {
    /// A new stream.
    pub fn new(needles: &'a Needles) -> Self {
        Self { needles, kept: Vec::new() }
    }

    /// The next piece. A needle that is longer than what came so far is found with a later piece.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(&'a str)) {
        self.kept.extend_from_slice(piece);
        // The last positions wait for more, so that each position is looked at once and with enough behind it.
        let ready = self.kept.len().saturating_sub(self.needles.longest - 1);
        self.search(ready, &mut found);
        self.kept.drain(..ready);
    }

    /// The stream has ended.
    pub fn finish(mut self, mut found: impl FnMut(&'a str)) {
        let length = self.kept.len();
        self.search(length, &mut found);
        self.kept.clear();
    }

    fn search(&self, positions: usize, found: &mut impl FnMut(&'a str)) {
        let mut at = 0;
        while at < positions {
            let rest = self.kept.get(at..).unwrap_or_default();
            // Preallocated files are mostly empty.
            if rest.first_chunk() == Some(&[0; EMPTY]) {
                at += EMPTY - HEAD;
            } else {
                self.needles.at(rest, found);
                at += 1;
            }
        }
    }
}

fn head(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<HEAD>().map(|head| u64::from_le_bytes(*head))
}

fn place(head: u64) -> (usize, u64) {
    let hash = head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS);
    (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
}
