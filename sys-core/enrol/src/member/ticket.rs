//! Reading a one-time ticket for a join.

use std::path::{Path, PathBuf};

use holdfast_keys::{
    OneTime, OneTimeKind,
    one_time::OneTimeError,
    secret_file::{self, SecretFileError},
};

/// Why a file gives no ticket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The file.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// Something else.
    #[error("{}", .0.display())]
    Content(PathBuf, #[source] OneTimeError),
}

/// Reads a ticket file, which only its owner may be able to read.
///
/// # Errors
/// See [`TicketError`].
pub fn read_ticket(path: &Path) -> Result<OneTime, TicketError> {
    let text = secret_file::read_secret(path)?;
    OneTime::parse(OneTimeKind::Ticket, &text).map_err(|source| TicketError::Content(path.to_owned(), source))
}
