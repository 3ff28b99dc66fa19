//! Approved boot states in the data folder.
//!
//! A key stays sealed under the policy epoch of its sealing. When operators raise the epoch, the older approvals that sealed it must not be lost,
//! or the machine could not open its own folder at the next start; so approvals are added and never taken away. That gives nobody anything: an
//! approval cannot be un-signed, and what a raised epoch protects is wrapped anew.

use holdfast_domain::PcrApproval;

use super::files;
use crate::folder::{Folder, FolderError};

/// Approvals kept; every planned update of a boot chain adds one.
const MAX_KEPT: usize = 1024;

/// Adds approvals to those that the folder has, the newest first.
///
/// # Errors
/// See [`FolderError`].
pub fn remember(folder: &Folder, approvals: &[PcrApproval]) -> Result<(), FolderError> {
    let known: Vec<PcrApproval> = folder.get(files::APPROVALS)?.unwrap_or_default();
    let mut kept = approvals.to_vec();
    kept.extend(known.iter().filter(|approval| !approvals.contains(approval)).cloned());
    kept.truncate(MAX_KEPT);
    if kept == known { Ok(()) } else { folder.put(files::APPROVALS, &kept) }
}
