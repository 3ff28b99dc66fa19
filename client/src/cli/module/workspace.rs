//! A checkout that modules are added to.
//!
//! Invariant: nothing is written before all of it is known to fit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{name::ModuleName, template};
use crate::{Error, StorageError, cli::failure::Failure};

const ROOT: &str = "Cargo.toml";
const NODE: &str = "shard-node/Cargo.toml";
const MOUNTS: &str = "shard-node/src/modules.rs";

/// Lines above which a node's modules are added.
const TABLESPACES_END: &str = "// Further tablespaces go above this line";
const MODULES_END: &str = "// Further modules go above this line";

/// Largest of the files that are changed.
const MAX_FILE: u64 = 1 << 20;

/// A checkout's folder.
pub(super) struct Workspace(PathBuf);

impl Workspace {
    /// # Errors
    /// When the folder is no checkout.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        if dir.join(MOUNTS).is_file() && dir.join(ROOT).is_file() {
            return Ok(Self(dir.to_owned()));
        }
        let text = format!("{} is no checkout of Holdfast's source: there is no {MOUNTS}", dir.display());
        Err(Failure::Usage(text))
    }

    /// Adds a module, and says the number of its tablespace.
    ///
    /// # Errors
    /// When there is one, or when this checkout is not laid out as it should be.
    pub(super) fn add(&self, name: &ModuleName) -> Result<u32, Failure> {
        let folder = self.0.join(name.folder());
        if folder.symlink_metadata().is_ok() {
            return Err(Failure::Exists(folder));
        }
        let (root, node, mounts) = (self.read(ROOT)?, self.read(NODE)?, self.read(MOUNTS)?);
        if root.contains(&format!("holdfast-{name} =")) || root.contains(&format!("holdfast-{name}-api =")) {
            return Err(Failure::Usage(format!(
                "a crate holdfast-{name} exists already: choose another name"
            )));
        }
        let tablespace = next_tablespace(&mounts);
        let changed = [
            (ROOT, with_members(&root, name).ok_or_else(|| unknown_layout(ROOT))?),
            (NODE, with_dependency(&node, name).ok_or_else(|| unknown_layout(NODE))?),
            (MOUNTS, with_mount(&mounts, name, tablespace).ok_or_else(|| unknown_layout(MOUNTS))?),
        ];
        for (path, text) in template::files(name) {
            write(&folder.join(path), &text)?;
        }
        for (path, text) in changed {
            write(&self.0.join(path), &text)?;
        }
        Ok(tablespace)
    }

    fn read(&self, path: &str) -> Result<String, Failure> {
        let bytes = crate::storage::read(&self.0.join(path), MAX_FILE).map_err(Error::from)?;
        String::from_utf8(bytes).map_err(|_| unknown_layout(path))
    }
}

fn unknown_layout(path: &str) -> Failure {
    Failure::Usage(format!("{path} is not laid out as this program knows it: is it of the same version?"))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = made.and_then(|()| fs::write(path, text));
    Ok(written.map_err(StorageError::io("write", path)).map_err(Error::from)?)
}

/// The root manifest with the module's crates.
fn with_members(root: &str, name: &ModuleName) -> Option<String> {
    let members = format!("    \"modules/{name}\",\n    \"modules/{name}/api\",\n");
    let root = after_last(root, |line| line.starts_with("    \"modules/"), &members)?;
    let crates = format!(
        "holdfast-{name} = {{ path = \"modules/{name}\" }}\nholdfast-{name}-api = {{ path = \"modules/{name}/api\" }}\n"
    );
    after_last(&root, |line| line.contains("{ path = \"modules/"), &crates)
}

/// The node's manifest with the module.
fn with_dependency(node: &str, name: &ModuleName) -> Option<String> {
    let end = node.find("\n[dev-dependencies]").unwrap_or(node.len());
    let (dependencies, rest) = node.split_at_checked(end)?;
    let ours = |line: &str| line.starts_with("holdfast-") && line.ends_with(".workspace = true");
    let dependencies = after_last(dependencies, ours, &format!("holdfast-{name}.workspace = true\n"))?;
    Some(dependencies + rest)
}

/// The node's list of modules with the module.
fn with_mount(mounts: &str, name: &ModuleName, tablespace: u32) -> Option<String> {
    let upper = name.upper();
    let constant = format!(
        "/// Tablespace of the {name} module.\nconst {upper}: TablespaceSpec = tablespace({tablespace}, \"{name}\", \"{name}\");\n"
    );
    let mount = format!(
        "        .descriptors(holdfast_{name}::api::DESCRIPTORS)\n        \
         .service(holdfast_{name}::server())\n        \
         .module(gated(\"{name}\", holdfast_{name}::POLICIES, host.bind({upper}), &standings))\n"
    );
    before(&before(mounts, TABLESPACES_END, &constant)?, MODULES_END, &mount)
}

/// One more than the largest that was ever given.
fn next_tablespace(mounts: &str) -> u32 {
    let numbers = mounts.split("tablespace(").skip(1).filter_map(|rest| {
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse::<u32>().ok())
    });
    numbers.max().unwrap_or_default().saturating_add(1)
}

/// Adds lines behind the last line like this.
fn after_last(text: &str, like: impl Fn(&str) -> bool, added: &str) -> Option<String> {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let last = lines.iter().rposition(|line| like(line.trim_end()))?;
    let (head, tail) = lines.split_at_checked(last.checked_add(1)?)?;
    let newline = if head.last().is_some_and(|line| line.ends_with('\n')) { "" } else { "\n" };
    Some(head.concat() + newline + added + &tail.concat())
}

/// Adds lines before the line that holds a mark.
fn before(text: &str, mark: &str, added: &str) -> Option<String> {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let marked = lines.iter().position(|line| line.contains(mark))?;
    let (head, tail) = lines.split_at_checked(marked)?;
    Some(head.concat() + added + &tail.concat())
}
