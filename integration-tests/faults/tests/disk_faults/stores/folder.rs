//! The data folder's small files, each replaced as a whole.

use std::path::Path;

use holdfast_domain::{ClusterId, EkHash, NodeId, NodeRole, RootHash};
use holdfast_enrol::folder::{Folder, FolderError, Settings};

use super::{Fault, refused};
use crate::child::acknowledge;

fn settings() -> Settings {
    Settings {
        cluster: ClusterId::new([1; 16]),
        root: RootHash::new([2; 32]),
        node: NodeId::new([3; 16]),
        role: NodeRole::Node,
        ek: EkHash::new([4; 32]),
        replica: None,
        tpm: "device:/dev/tpmrm0".into(),
        listen: "127.0.0.1:1".into(),
        advertise: "127.0.0.1:1".into(),
        registries: vec!["127.0.0.1:2".into()],
        zone: String::new(),
    }
}

/// Number and a filling of many sectors.
fn value(n: u64) -> (u64, Vec<u8>) {
    (n, vec![u8::try_from(n % 251).unwrap(); usize::try_from(n * 311 % 4000).unwrap()])
}

fn open(path: &Path) -> Result<Folder, FolderError> {
    if path.join("folder.toml").exists() {
        return Folder::open(path, NodeRole::Node);
    }
    // A join that was cut off begins anew.
    drop(std::fs::remove_dir_all(path));
    let folder = Folder::create(path, settings())?;
    folder.seal_in()?;
    Ok(folder)
}

pub(super) fn write(path: &Path, first: u64) -> Fault {
    let write = || -> Result<(), FolderError> {
        let folder = open(&path.join("data"))?;
        for n in first.. {
            folder.put("sealed/one", &value(n))?;
            folder.put("identity/two", &value(n))?;
            acknowledge(n);
        }
        Ok(())
    };
    refused(write().unwrap_err())
}

pub(super) fn check(path: &Path) -> Result<u64, Fault> {
    let data = path.join("data");
    if !data.join("folder.toml").exists() {
        return Ok(0);
    }
    let folder = Folder::open(&data, NodeRole::Node).map_err(refused)?;
    if *folder.settings() != settings() {
        return Err(Fault::Wrong("the settings".into()));
    }
    let mut last = u64::MAX;
    for name in ["sealed/one", "identity/two"] {
        let found: Option<(u64, Vec<u8>)> = folder.get(name).map_err(refused)?;
        let n = found.as_ref().map_or(0, |found| found.0);
        if found.is_some_and(|found| found != value(n)) {
            return Err(Fault::Wrong(format!("the value {n} of {name}")));
        }
        last = last.min(n);
    }
    Ok(last)
}
