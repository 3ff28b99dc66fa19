//! Bounds on everything that arrives from a machine asking to join, each with its reason.

/// A `TPMT_PUBLIC`: an RSA-2048 key with a SHA-384 policy takes about 330 bytes.
pub const PUBLIC_MAX: usize = 1024;
/// A `TPMS_ATTEST`: a certification with SHA-384 names takes about 240 bytes.
pub const ATTEST_MAX: usize = 1024;
/// A `TPMT_SIGNATURE` over P-256 takes 72 bytes.
pub const SIGNATURE_MAX: usize = 256;
/// The largest `TPM2B_DIGEST` we know: SHA-512.
pub const DIGEST_MAX: usize = 64;
/// An RSA-2048 modulus.
pub const RSA_MODULUS_MAX: usize = 256;
/// PCRs of one bank on a PC client platform.
pub const PCR_COUNT: u8 = 24;
/// A certificate of the EK chain, as read from NV (real ones: 1-2 KiB).
pub const CERTIFICATE_MAX: usize = 8 * 1024;
/// Intermediates that come with an EK certificate (real chains: 1-3).
pub const CHAIN_MAX: usize = 8;
/// One PKCS#10 request with a P-256 key.
pub const CSR_MAX: usize = 4 * 1024;
/// A measured boot log (servers with many option ROMs: 60-100 KiB).
pub const EVENT_LOG_MAX: usize = 192 * 1024;
/// Events in a measured boot log.
pub const EVENTS_MAX: usize = 8192;
/// Bytes one sealed object holds (`MAX_SYM_DATA`); we only ever seal 32-byte keys.
pub const SEALED_DATA_MAX: usize = 128;
/// Operators of one cluster: people, who know each other.
pub const OPERATORS_MAX: usize = 32;
/// Signatures on one request.
pub const SIGNATURES_MAX: usize = OPERATORS_MAX;
