//! Records: what a key reveals, what head and body hide, and what each seal authenticates.
//!
//! ```text
//! ptok  = HMAC(LK, partition)[..16]        tok_i = HMAC(TK, i ‖ tok_{i-1} ‖ len ‖ component_i)[..16]
//! key   = slot ‖ tablespace ‖ ptok ‖ kind ‖ n ‖ tok_1 ‖ … ‖ [ordered component]
//! value = format ‖ suite ‖ version ‖ generation ‖ len ‖ sealed head ‖ sealed body
//! AAD   = "HFR1" ‖ suite ‖ part ‖ cluster ‖ len ‖ key ‖ version ‖ generation [‖ tag of the head, for the body]
//! ```
//!
//! Invariants: a record opens only under its own key, version and generation, and with the head it was sealed with; its
//! head names the components it was stored under, so a token that does not belong to them is found on read. Neither
//! group nor DMK generation is authenticated here (the keyring binds them): a moved record keeps its bytes.

mod chunk;
mod codec;
mod digest;
mod key;
mod stored;
mod tokens;

pub use self::{
    chunk::{ChunkContext, ChunkPosition, open_chunk, seal_chunk},
    codec::{Head, IndexName, Named, OpenedRecord, RecordCodec, RecordError, TablespaceSpec, VersionedKey},
    digest::{DIGEST_LEN, SlotDigest},
    key::{KeyError, PartitionToken, RecordKey, RecordScope, RowKind, TOKEN_LEN, Tablespace, Token},
    stored::{Etag, RecordVersion, StoredError, StoredRecord},
    tokens::{TokenError, Tokenizer, partition_token},
};
