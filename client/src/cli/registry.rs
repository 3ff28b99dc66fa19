//! `holdfast registry`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::json;

use super::{
    app::{App, must_be_new},
    failure::Failure,
    node::node_of,
    output::write_out,
    units::show_size,
};
use crate::{Error, Operator, StorageError};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a registry member that has caught up a voter
    #[command(after_help = "Example:\n  holdfast registry promote 4f1e")]
    Promote {
        /// The member, by its node id or the beginning of it
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Write a backup of the registry's state; keys are in it in wrapped form only
    #[command(after_help = "Example:\n  holdfast registry export registry-2026-11-22.backup")]
    Export {
        /// A new file, of mode 0600; `-` is standard output
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) async fn run(app: &App, command: Command) -> Result<(), Failure> {
    let operator = app.operator().await?;
    match command {
        Command::Promote { node } => {
            let node = node_of(&operator, &node).await?;
            operator.promote(node).await?;
            app.output.print(|| format!("Node {node} votes.\n"), || json!({ "voter": node.to_string() }))
        }
        Command::Export { file } if file == Path::new("-") => {
            let mut closed = None;
            let export = operator.export(|chunk| {
                write_out(chunk).map_err(|failure| {
                    closed = Some(failure);
                    Error::from(StorageError::io("write", Path::new("-"))(io::ErrorKind::BrokenPipe.into()))
                })
            });
            let exported = export.await;
            closed.map_or(Ok(exported?), Err)
        }
        Command::Export { file } => {
            let bytes = export(&operator, &file).await?;
            app.output.print(
                || format!("{} in {}.\n", show_size(bytes), file.display()),
                || json!({ "file": file.to_string_lossy(), "bytes": bytes }),
            )
        }
    }
}

/// To a file beside the target first: a backup that is cut short must not look like one.
async fn export(operator: &Operator, path: &Path) -> Result<u64, Failure> {
    must_be_new(path)?;
    let temporary = crate::storage::temporary_beside(path)
        .map_err(StorageError::io("name a temporary file beside", path))
        .map_err(Error::from)?;
    let exported = write_export(operator, &temporary).await.and_then(|bytes| {
        std::fs::rename(&temporary, path).map_err(StorageError::io("write", path)).map_err(Error::from)?;
        Ok(bytes)
    });
    if exported.is_err() {
        // The first error is the one that matters.
        let _ = std::fs::remove_file(&temporary);
    }
    Ok(exported?)
}

async fn write_export(operator: &Operator, path: &Path) -> Result<u64, Error> {
    let failed = |action| StorageError::io(action, path);
    let mut file: File =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create"))?;
    let mut bytes = 0u64;
    let write = |chunk: &[u8]| {
        file.write_all(chunk).map_err(StorageError::io("write", path))?;
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        Ok(())
    };
    operator.export(write).await?;
    file.sync_all().map_err(failed("sync"))?;
    Ok(bytes)
}
