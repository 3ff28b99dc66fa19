//! The files of a home, the account's own or an organisation's: put, get, list, stat, remove, usage; single ones and whole trees.
//!
//! Transfers use bounded memory and are tried again within the client's patience. Content is hashed where it is read and checked
//! where it is written; a transfer is done when both ends agree on the hash.

mod call;
mod content;
mod get;
mod name;
mod put;
mod resume;
mod tree;

use std::path::PathBuf;

use holdfast_domain::{Sha256Hash, UnixMs};
use holdfast_files_api::v1 as pb;

pub use call::Listing;
pub use get::Target;
pub use name::{FileName, NameError};
pub use tree::{GetTree, OnEvent, PutTree, TreeEvent, TreeReport};

use crate::{Error, StorageError, home::Home};

/// What the service says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// Hash of the content.
    pub sha256: Sha256Hash,
    /// When it was put.
    pub modified: UnixMs,
}

/// What a home uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes stored.
    pub used_bytes: u64,
    /// Bytes allowed.
    pub quota_bytes: u64,
    /// Number of files.
    pub files: u64,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Called now and then during a transfer.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What can be wrong with names and contents.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A name that is none.
    #[error("{name:?} cannot be a file's name")]
    Name {
        /// The name, as far as it can be shown.
        name: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// The content is not the promised one.
    #[error("the content of {name} does not have the promised hash: nothing was kept")]
    Hash {
        /// The file.
        name: FileName,
    },
    /// The service's file was replaced during a download.
    #[error("{name} was replaced by another content while it was read: try again")]
    Replaced {
        /// The file.
        name: FileName,
    },
    /// The local file was written to during an upload.
    #[error("{} changed while it was read: try again", .0.display())]
    Changed(PathBuf),
    /// Not a regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// More bytes than announced, or fewer.
    #[error("the service sent {got} bytes of {name}, which has {size}")]
    Length {
        /// The file.
        name: FileName,
        /// Announced size.
        size: u64,
        /// Received.
        got: u64,
    },
    /// A worker thread ended early.
    #[error("a worker of this program failed")]
    Worker,
}

/// The files of one home.
#[derive(Clone)]
pub struct Files {
    home: Home,
}

impl Files {
    pub(crate) const fn new(home: Home) -> Self {
        Self { home }
    }

    /// The same files with reads (get, stat, list, usage) that may be as old as this: see [`Home::stale_ok`].
    #[must_use]
    pub fn stale_ok(self, within: std::time::Duration) -> Self {
        Self { home: self.home.stale_ok(within) }
    }
}

fn file_of(info: pb::FileInfo, action: &str) -> Result<File, Error> {
    let pb::FileInfo { name, size, sha256, modified_ms } = info;
    let bad = |what| Error::Reply { action: action.to_owned(), what };
    Ok(File {
        name: FileName::new(name.to_vec()).map_err(|_| bad("file name"))?,
        size,
        sha256: Sha256Hash::try_from(&*sha256).map_err(|_| bad("hash"))?,
        modified: UnixMs(modified_ms),
    })
}

fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let storage = StorageError::io(action, path);
    move |error| Error::Storage(storage(error))
}
