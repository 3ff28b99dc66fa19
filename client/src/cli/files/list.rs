//! `holdfast files ls`, `stat` and `usage`.

use std::{ffi::OsString, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use serde_json::json;

use super::{Ls, Place, file_json, name_of};
use crate::{
    cli::{
        failure::Failure,
        output::{Format, write_out},
        table::facts,
        units::show_size,
    },
    files::{File, Usage},
    time::rfc3339,
};

/// Page by page, so that memory does not grow with the account.
pub(super) async fn run(at: &Place<'_>, args: Ls) -> Result<(), Failure> {
    let Ls { prefix, long } = args;
    let mut listing = at.files().await?.list(prefix.as_bytes());
    while let Some(page) = listing.next_page().await? {
        let mut text = String::new();
        for file in &page {
            // Writing to a string cannot fail.
            let _ = match (at.app.output, long) {
                (Format::Json, _) => writeln!(text, "{}", file_json(file)),
                (Format::Human, true) => writeln!(text, "{}", long_line(file)),
                (Format::Human, false) => writeln!(text, "{}", file.name),
            };
        }
        write_out(text.as_bytes())?;
    }
    Ok(())
}

/// Columns of fixed width: a page must not wait for the next one.
fn long_line(file: &File) -> String {
    let File { name, size, sha256, modified } = file;
    let short: String = sha256.to_string().chars().take(12).collect();
    format!("{:>12}  {}  {short}  {name}", show_size(*size), rfc3339(*modified))
}

pub(super) async fn stat(at: &Place<'_>, name: OsString) -> Result<(), Failure> {
    let file = at.files().await?.stat(&name_of(name)?).await?;
    let human = || {
        facts(&[
            ("name", file.name.to_string()),
            ("size", format!("{} ({})", file.size, show_size(file.size))),
            ("sha256", file.sha256.to_string()),
            ("modified", rfc3339(file.modified)),
        ])
    };
    at.app.output.print(human, || json!({ "file": file_json(&file) }))
}

pub(super) async fn usage(at: &Place<'_>) -> Result<(), Failure> {
    let Usage { used_bytes, quota_bytes, files } = at.files().await?.usage().await?;
    let percent = used_bytes.saturating_mul(100).checked_div(quota_bytes).unwrap_or(0);
    let human = || {
        facts(&[
            ("used", format!("{} ({percent} %)", show_size(used_bytes))),
            ("quota", show_size(quota_bytes)),
            ("files", files.to_string()),
        ])
    };
    at.app
        .output
        .print(human, || json!({ "used_bytes": used_bytes, "quota_bytes": quota_bytes, "files": files }))
}
