//! Ticket files: `holdfast-ticket-1:<64 hex digits>`, readable by their owner only.

use std::path::{Path, PathBuf};

use holdfast_keys::{
    Secret32,
    secret_file::{self, SecretFileError},
};
use zeroize::Zeroizing;

/// What a ticket file begins with.
const PREFIX: &str = "holdfast-ticket-1:";

/// Why a file gives no ticket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The file.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// Something else.
    #[error("{} holds no ticket: it should be one line that begins with {PREFIX}", .0.display())]
    Malformed(PathBuf),
}

/// Reads a one-time ticket.
///
/// # Errors
/// See [`TicketError`].
pub fn read_ticket(path: &Path) -> Result<Secret32, TicketError> {
    let malformed = || TicketError::Malformed(path.to_owned());
    let bytes = secret_file::read_secret(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
    let digits = text.trim().strip_prefix(PREFIX).ok_or_else(malformed)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *seed).map_err(|_| malformed())?;
    Ok(Secret32::from_bytes(*seed))
}
