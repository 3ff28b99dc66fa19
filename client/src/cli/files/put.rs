//! `holdfast files put`.

use std::{os::unix::ffi::OsStrExt as _, path::Path, sync::OnceLock};

use serde_json::json;

use super::{Place, Put, add, file_json, finish, name_of, on_event};
use crate::{
    Error,
    cli::{app::App, failure::Failure, progress::Bar, units::show_size},
    files::{FileError, FileName, Files, Progress, PutTree, TreeReport},
};

pub(super) async fn run(at: &Place<'_>, args: Put) -> Result<(), Failure> {
    let Put { sources, name, recursive, prefix, jobs } = args;
    if let (Some(name), [source]) = (&name, sources.as_slice()) {
        let name = name_of(name.clone())?;
        return one(at.app, &at.files().await?, &name, source).await;
    }
    if name.is_some() {
        return Err(Failure::Usage("--as names one file: give one SRC, or use --prefix".to_owned()));
    }
    let prefix = prefix.as_bytes().to_vec();
    if !recursive && let Some(dir) = sources.iter().find(|source| source.is_dir()) {
        return Err(Failure::Usage(format!("{} is a folder: use -r", dir.display())));
    }
    let files = at.files().await?;
    if !recursive && let [source] = sources.as_slice() {
        return one(at.app, &files, &default_name(&prefix, source)?, source).await;
    }
    let bar = Bar::new("uploaded");
    let mut all = TreeReport::default();
    for source in sources {
        if source.is_dir() {
            let tree = PutTree { dir: source, prefix: prefix.clone(), jobs: jobs.jobs };
            add(&mut all, files.put_tree(&tree, &on_event(&bar)).await?);
        } else {
            let name = default_name(&prefix, &source)?;
            let file = files.put(&name, &source, &|_| ()).await?;
            bar.file(file.size);
            add(&mut all, TreeReport { files: 1, bytes: file.size, ..TreeReport::default() });
        }
    }
    drop(bar);
    finish(at.app, "uploaded", all)
}

async fn one(app: &App, files: &Files, name: &FileName, source: &Path) -> Result<(), Failure> {
    let bar = Bar::new(name.to_string());
    let begun = OnceLock::new();
    let on_progress = |progress: Progress| {
        // The first word is what the service had already.
        begun.get_or_init(|| if progress.done < progress.total { progress.done } else { 0 });
        bar.transfer(progress);
    };
    let file = files.put(name, source, &on_progress).await?;
    drop(bar);
    let resumed_from = begun.get().copied().unwrap_or(0);
    app.output.print(
        || format!("{} ({}, sha256 {})\n", file.name, show_size(file.size), file.sha256),
        || json!({ "file": file_json(&file), "resumed_from": resumed_from }),
    )
}

/// The local name under the prefix.
fn default_name(prefix: &[u8], source: &Path) -> Result<FileName, Failure> {
    let no_name = || Failure::Usage(format!("{} has no name of its own: use --as", source.display()));
    let last = Path::new(source.file_name().ok_or_else(no_name)?);
    let bad = |source_error| {
        Failure::from(Error::from(FileError::Name {
            name: source.display().to_string(),
            source: source_error,
        }))
    };
    FileName::under(prefix, last).map_err(bad)
}
