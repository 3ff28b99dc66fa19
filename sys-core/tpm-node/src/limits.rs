//! Bounds of this crate, each with its reason.

/// Waiting jobs of ordinary priority (TLS signatures, reads). A TPM does 10 to 1,000 of them a second, so a longer
/// queue would only turn "busy" into a timeout.
pub const MAX_QUEUED_NORMAL: usize = 64;
/// Waiting jobs of urgent priority (join, renewal, unsealing). Few are ever useful at once.
pub const MAX_QUEUED_URGENT: usize = 16;
/// One NV certificate. Vendors pad, the largest seen are under 2 KiB.
pub const MAX_NV_CERTIFICATE: usize = 8 * 1024;
/// NV indices read for the chain of the EK certificate (0x01c00100 and up).
pub const MAX_NV_CHAIN_INDICES: usize = 8;
/// Largest file that holds a key blob: public and private areas of an ECC key or a sealed object are under 1 KiB.
pub const MAX_BLOB_BYTES: usize = 4 * 1024;
/// Stale handles flushed when a context is opened; a TPM has single digits of slots, so more means a broken one.
pub const MAX_STALE_HANDLES: u32 = 64;
/// TPM2_PCR_Read answers at most eight digests a call: 24 registers need three, the rest is slack for changes between.
pub const MAX_PCR_READS: usize = 8;
/// Time that the last handle waits for its TPM to be closed: the longest command under way, on a slow chip.
pub const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Counters of ours in one TPM: one for each data folder on the machine, and those of clusters that it left.
pub const MAX_COUNTERS: u32 = 32;
