//! The stores under test: each writes numbered things, acknowledges them, and can say which of them are there.

mod engines;
mod folder;
mod raft;
mod segments;

use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Sled,
    Redb,
    Segments,
    Raft,
    Folder,
}

/// Why a store is not whole.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It says so itself, by an error of its own.
    Refused(String),
    /// It does not say so, and is wrong.
    Wrong(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => write!(out, "refused {why}"),
            Self::Wrong(what) => write!(out, "wrong {what}"),
        }
    }
}

pub(crate) fn refused(error: impl std::error::Error) -> Fault {
    let mut text = format!("{error:?}");
    text.retain(|letter| letter != '\n');
    Fault::Refused(text)
}

impl Store {
    pub(crate) const ALL: [Self; 5] = [Self::Sled, Self::Redb, Self::Segments, Self::Raft, Self::Folder];

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|store| format!("{store:?}") == name).unwrap()
    }

    /// Writes from `first` on, in the child. Returns only with an error.
    pub(crate) fn write(self, folder: &Path, first: u64) -> Fault {
        match self {
            Self::Sled | Self::Redb => engines::write(self, folder, first),
            Self::Segments => segments::write(folder, first),
            Self::Raft => raft::write(folder, first),
            Self::Folder => folder::write(folder, first),
        }
    }

    /// The last number that is there, when all up to it are right and it is not below what was acknowledged.
    pub(crate) fn check(self, folder: &Path, acknowledged: u64) -> Result<u64, Fault> {
        let last = match self {
            Self::Sled | Self::Redb => engines::check(self, folder),
            Self::Segments => segments::check(folder, acknowledged),
            Self::Raft => raft::check(folder, acknowledged),
            Self::Folder => folder::check(folder),
        }?;
        if last < acknowledged {
            let lost = format!("{acknowledged} was acknowledged, it ends at {last}");
            return Err(Fault::Wrong(lost));
        }
        Ok(last)
    }
}
