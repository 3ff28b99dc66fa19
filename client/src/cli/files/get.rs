//! `holdfast files get`.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{Get, Place, file_json, finish, name_of, on_event};
use crate::{
    cli::{failure::Failure, progress::Bar, units::show_size},
    files::{FileName, GetTree, Target},
};

pub(super) async fn run(at: &Place<'_>, args: Get) -> Result<(), Failure> {
    let Get { name, dir, to, recursive, jobs } = args;
    if recursive {
        let dir = dir.ok_or_else(|| Failure::Usage("-r needs a folder to write to".to_owned()))?;
        let tree = GetTree { prefix: name.as_bytes().to_vec(), dir, jobs: jobs.jobs };
        let files = at.files().await?;
        let bar = Bar::new("downloaded");
        let report = files.get_tree(&tree, &on_event(&bar)).await?;
        drop(bar);
        return finish(at.app, "downloaded", report);
    }
    if let Some(dir) = dir {
        let hint = format!("use -O {} to name the target, or -r for a whole prefix", dir.display());
        return Err(Failure::Usage(hint));
    }
    one(at, &name_of(name)?, to).await
}

async fn one(at: &Place<'_>, name: &FileName, to: Option<PathBuf>) -> Result<(), Failure> {
    let no_name = || Failure::Usage(format!("the last component of {name} is no local name: use -O FILE"));
    let path = match to {
        Some(path) => path,
        None => name.local_name().map(PathBuf::from).ok_or_else(no_name)?,
    };
    let files = at.files().await?;
    let bar = Bar::new(name.to_string());
    if path == Path::new("-") {
        files
            .get(name, Target::Stream(Box::new(std::io::stdout())), &|progress| bar.transfer(progress))
            .await?;
        return Ok(());
    }
    let path = if path.is_dir() { path.join(name.local_name().ok_or_else(no_name)?) } else { path };
    let file = files.get(name, Target::File(path.clone()), &|progress| bar.transfer(progress)).await?;
    drop(bar);
    at.app.output.print(
        || format!("{} ({}, sha256 {})\n", path.display(), show_size(file.size), file.sha256),
        || json!({ "file": file_json(&file), "path": path.to_string_lossy() }),
    )
}
