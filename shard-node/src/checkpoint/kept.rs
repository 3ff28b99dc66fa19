//! What the folder remembers, and what it says beside what the TPM counts now.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_consensus::Floor;
use holdfast_domain::{GroupId, ReplicaId};
use serde::{Deserialize, Serialize};

/// A replica on this disk.
pub type Held = (GroupId, ReplicaId);

/// What the folder remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What the TPM counted.
    pub(super) count: u64,
    /// It may count one more already: that was about to happen.
    pub(super) coming: bool,
    /// How far each replica was, at least.
    pub(super) floors: BTreeMap<Held, Floor>,
    /// Replicas of a disk that was put back; they stay so until they are deleted.
    pub(super) put_back: BTreeMap<Held, Cause>,
}

/// Why a disk is not believed to be this machine's newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Cause {
    /// The TPM counted more than the folder remembers.
    #[error("rolled back: the TPM counted {counted} checkpoints, and the disk knows of {known}")]
    Behind {
        /// In the folder.
        known: u64,
        /// By the TPM.
        counted: u64,
    },
    /// The folder remembers nothing at all.
    #[error("rolled back: the disk holds replicas and no checkpoint")]
    NoCheckpoint,
    /// The TPM has no counter.
    #[error("rolled back, perhaps: somebody deleted the TPM's counter of checkpoints")]
    NoCounter,
}

/// What the two say together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The disk is the newest that the TPM knows of.
    Newest,
    /// It is not, or nobody can say.
    PutBack(Cause),
    /// The TPM counted less than the folder remembers: not the disk was put back, the TPM was. A chip's counter cannot be.
    TpmPutBack,
}

impl Kept {
    pub(super) fn judge(kept: Option<&Self>, counted: Option<u64>) -> Verdict {
        let (kept, counted) = match (kept, counted) {
            (None, _) => return Verdict::PutBack(Cause::NoCheckpoint),
            (Some(_), None) => return Verdict::PutBack(Cause::NoCounter),
            (Some(kept), Some(counted)) => (kept, counted),
        };
        let most = if kept.coming { kept.count.saturating_add(1) } else { kept.count };
        if counted < kept.count {
            Verdict::TpmPutBack
        } else if counted <= most {
            Verdict::Newest
        } else {
            Verdict::PutBack(Cause::Behind { known: kept.count, counted })
        }
    }

    /// What to remember next, when these replicas are on the disk and are known to be this far.
    pub(super) fn next(
        &self,
        counted: u64,
        stored: &BTreeSet<Held>,
        reached: &BTreeMap<Held, Floor>,
    ) -> Self {
        let mut floors = self.floors.clone();
        for (held, floor) in reached {
            let known = floors.entry(*held).or_default();
            *known = (*known).max(*floor);
        }
        floors.retain(|held, _| stored.contains(held));
        let mut put_back = self.put_back.clone();
        put_back.retain(|held, _| stored.contains(held));
        Self { count: counted, coming: true, floors, put_back }
    }

    /// Whether `next` would be worth counting up.
    pub(super) fn says_the_same(&self, next: &Self) -> bool {
        let Self { count: _, coming: _, floors, put_back } = next;
        self.floors == *floors && self.put_back == *put_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: u64, coming: bool) -> Kept {
        Kept { count, coming, ..Kept::default() }
    }

    #[test]
    fn invariant_only_a_disk_that_is_behind_is_put_back() {
        let behind = |known, counted| Verdict::PutBack(Cause::Behind { known, counted });
        for (folder, counted, verdict) in [
            (None, None, Verdict::PutBack(Cause::NoCheckpoint)),
            (None, Some(7), Verdict::PutBack(Cause::NoCheckpoint)),
            (Some(kept(7, false)), None, Verdict::PutBack(Cause::NoCounter)),
            (Some(kept(7, false)), Some(7), Verdict::Newest),
            (Some(kept(7, false)), Some(8), behind(7, 8)),
            (Some(kept(7, true)), Some(7), Verdict::Newest),
            (Some(kept(7, true)), Some(8), Verdict::Newest),
            (Some(kept(7, true)), Some(9), behind(7, 9)),
            (Some(kept(7, false)), Some(6), Verdict::TpmPutBack),
        ] {
            assert_eq!(Kept::judge(folder.as_ref(), counted), verdict, "{folder:?} {counted:?}");
        }
    }

    #[test]
    fn floors_only_grow_and_go_with_their_replica() {
        let (one, two) = ((GroupId(1), ReplicaId(1)), (GroupId(2), ReplicaId(2)));
        let floor = |index| Floor { term: 1, index };
        let first = Kept::default().next(1, &[one, two].into(), &[(one, floor(5)), (two, floor(9))].into());
        let next = first.next(2, &[one].into(), &[(one, floor(4))].into());
        assert_eq!(next.floors, [(one, floor(5))].into());
    }
}
