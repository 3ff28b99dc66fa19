//! Every bound of this crate, each with its reason.

/// Longest engine key. Record keys are below 300 bytes; the rest is room for callers' prefixes and ordered components.
pub const MAX_KEY_BYTES: usize = 1024;

/// Largest engine value. sled writes a leaf of 17 items to files outside the barrier once it passes a quarter of its
/// 8 MiB segment: 17 × 64 KiB stays at half of that.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Most operations in one batch.
pub const MAX_BATCH_OPS: usize = 16 * 1024;

/// Most key and value bytes in one batch.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Rows that go down into an engine together: readers of other rows wait for it.
pub const LAYER_ROWS: usize = 2 * 1024;

/// Bytes of the same, beyond one batch.
pub const LAYER_BYTES: usize = 1024 * 1024;

/// Layers that wait to go down before writers wait for them.
pub const MAX_WAITING_LAYERS: usize = 16;

/// Memory for rows that were read or written lately.
pub const ROW_CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Memory for filters of the names that are there: some 20 million rows. With more, absent ones are looked for on the disk.
pub const MAX_NAME_FILTERS_BYTES: usize = 32 * 1024 * 1024;

/// Most rows that one scan returns, whatever the caller asks for: writers wait for a page.
pub const MAX_SCAN_ROWS: usize = 8 * 1024;

/// Most key and value bytes that one scan returns (one row more is allowed, so that a scan always advances).
pub const MAX_SCAN_BYTES: usize = 8 * 1024 * 1024;

/// Most views open at a time: each costs every write a look-up.
pub const MAX_VIEWS: usize = 64;

/// Bytes of pre-images one view may hold in memory before it gives up.
pub const MAX_VIEW_BYTES: usize = 256 * 1024 * 1024;

/// Free space that writes leave alone, so that the engine's own rewriting, barriers and deletions still find room.
pub const DISK_RESERVE_BYTES: u64 = 96 * 1024 * 1024;

/// Written bytes between two looks at the free space.
pub const SPACE_CHECK_BYTES: u64 = 4 * 1024 * 1024;

/// Size of one content segment.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Largest sealed chunk: 256 KiB of plaintext, and room for nonce, tag and a later format.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024 + 1024;

/// Plaintext bytes of a full chunk.
pub const CHUNK_PLAIN_BYTES: usize = 256 * 1024;

/// Age at which a chunk that no manifest made live is dropped.
pub const STAGED_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// Most components of a record's name.
pub const MAX_COMPONENTS: usize = 8;

/// Longest single component of a record's name.
pub const MAX_COMPONENT_BYTES: usize = 512;

/// Longest ordered (clear) component of a record key.
pub const MAX_ORDERED_BYTES: usize = 64;

/// Largest sealed head: read by every list that filters.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Largest sealed body; with the head it stays below [`MAX_VALUE_BYTES`].
pub const MAX_BODY_BYTES: usize = 44 * 1024;
