//! What a module is given: one home's records and content, and nothing that leads anywhere else.
//!
//! A [`PartitionHost`] is bound to one module's tablespace. From it the [gate](crate::gate) gets the [`Partition`] of a home for each
//! request that it lets in; the handler has no host, never holds keys, sees ciphertext or names another home.
//!
//! Names are plain bytes here and keyed tokens on disk; values are plain here and sealed below.

mod content;
mod host;
mod key;
mod partition;
mod record;
mod scan;
mod to_change;

pub use content::{
    CHUNK_BYTES, CHUNK_BYTES_U64, Content, ContentId, MAX_UPLOAD_TAG_BYTES, UPLOAD_TTL_MS, Upload, UploadSpec,
};
pub use host::{Freshness, PartitionHost, RouteInfo};
pub use key::{KeyError, MAX_COMPONENT_BYTES, MAX_COMPONENTS, RecordKey};
pub use partition::Partition;
pub use record::{CommitOutcome, Cursor, Op, Page, Precondition, Row, RowVersion};
pub use scan::{Scan, Select};
pub use to_change::ToChange;
