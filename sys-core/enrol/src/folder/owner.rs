//! Whose each part of a data folder is: a log or a store that was moved here from another folder holds another machine's promises.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use holdfast_domain::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use super::{FolderError, Settings, durable, failed};

/// Parts that must not be swapped between folders.
pub(super) const OWNED: [&str; 3] = ["raft", "state", "content"];
const FILE: &str = "owner.toml";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    cluster: String,
    node: String,
}

/// Writes down whose this part is.
pub(super) fn claim(part: &Path, settings: &Settings) -> Result<(), FolderError> {
    let path = part.join(FILE);
    let owner = Owner { cluster: settings.cluster.to_string(), node: settings.node.to_string() };
    let text = toml::to_string(&owner).unwrap_or_default();
    durable::write(&path, text.as_bytes()).map_err(failed("write", &path))
}

/// That every part is this machine's. One that is not there may be made anew.
pub(super) fn check(folder: &Path, settings: &Settings) -> Result<(), FolderError> {
    for name in OWNED {
        let part = folder.join(name);
        if part.exists() {
            check_part(&part, settings)?;
        } else {
            fs::DirBuilder::new().mode(0o700).create(&part).map_err(failed("make", &part))?;
            claim(&part, settings)?;
        }
    }
    Ok(())
}

fn check_part(part: &Path, settings: &Settings) -> Result<(), FolderError> {
    let path = part.join(FILE);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(FolderError::Io { action: "read", path, source }),
    };
    let parse = || -> Option<(ClusterId, NodeId)> {
        let Owner { cluster, node } = toml::from_str(&text).ok()?;
        Some((cluster.parse().ok()?, node.parse().ok()?))
    };
    let (cluster, node) = parse().ok_or(FolderError::Unowned(path))?;
    if (cluster, node) == (settings.cluster, settings.node) {
        return Ok(());
    }
    let settings = Box::new(settings.clone());
    Err(FolderError::OtherOwner { path: part.to_owned(), cluster, node, settings })
}
