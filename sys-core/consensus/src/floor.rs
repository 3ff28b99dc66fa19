//! The highest position that a replica acknowledged: below it, its disk is older than its word.

use serde::{Deserialize, Serialize};

/// What a replica acknowledged last: the term of the leader that it acknowledged to, and the index up to which its synced log
/// matched. Of two, the later has the higher term, or in the same term the higher index: within a term no replica's log gets
/// shorter, and a vote for a later one is synced before anything is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Floor {
    /// The term.
    pub term: u64,
    /// The index in that term; 0 for a vote alone.
    pub index: u64,
}

impl Floor {
    /// Above whatever a disk holds: of a replica whose disk is known to have been put back, to whatever extent.
    pub const BEYOND: Self = Self { term: u64::MAX, index: u64::MAX };
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::BEYOND {
            return f.write_str("more than this disk holds");
        }
        write!(f, "term {} index {}", self.term, self.index)
    }
}

/// A disk that is older than what its replica acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollback {
    /// What the replica acknowledged, as its peers or the registry remember.
    pub floor: Floor,
    /// What its disk holds.
    pub held: Floor,
}
