//! `holdfast files rm`.

use std::os::unix::ffi::OsStrExt as _;

use serde_json::json;

use super::{Place, Rm, add, finish, name_of, on_event};
use crate::{
    cli::{failure::Failure, progress::Bar},
    files::TreeReport,
};

pub(super) async fn run(at: &Place<'_>, args: Rm) -> Result<(), Failure> {
    let Rm { names, recursive, jobs } = args;
    if recursive {
        let files = at.files().await?;
        let bar = Bar::new("removed");
        let mut all = TreeReport::default();
        for prefix in names {
            add(&mut all, files.remove_tree(prefix.as_bytes(), jobs.jobs, &on_event(&bar)).await?);
        }
        drop(bar);
        return finish(at.app, "removed", all);
    }
    let names = names.into_iter().map(name_of).collect::<Result<Vec<_>, _>>()?;
    let files = at.files().await?;
    for name in &names {
        files.remove(name).await?;
    }
    at.app.output.print(|| format!("{} files removed\n", names.len()), || json!({ "files": names.len() }))
}
