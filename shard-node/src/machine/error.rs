//! Why a group's state cannot be read or written.

use holdfast_domain::codec::CodecError;
use holdfast_keys::{EntropyError, keyring::KeyringError};
use holdfast_store::{EngineError, records::RecordError};

/// Why a group's state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The engine.
    #[error("storage engine")]
    Engine(#[from] EngineError),
    /// A row is not what its table holds: damage, or a newer program wrote it.
    #[error("row of table {table}")]
    Row {
        /// Number of the table.
        table: u8,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
    /// A record is damaged.
    #[error("record")]
    Record(#[from] RecordError),
    /// A keyring does not open: the wrong DMK, or damage.
    #[error("keyring")]
    Keyring(#[from] KeyringError),
    /// The replica stopped while it waited for a key.
    #[error(transparent)]
    Closed(#[from] super::KeysClosed),
    /// The operating system gave no randomness.
    #[error("no new key")]
    Entropy(#[from] EntropyError),
    /// An answer or a frame that cannot be encoded.
    #[error("encoding")]
    Encoding(#[source] CodecError),
    /// A key of the engine that no table has.
    #[error("an engine key is none of ours")]
    Key,
}
