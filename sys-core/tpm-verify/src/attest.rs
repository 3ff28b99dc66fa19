//! `TPMS_ATTEST`: what a restricted key signs about its TPM. Two types are taken, certification and quote, and nothing about
//! them is believed before [`crate::signature`] checked the signature over these exact bytes.

use holdfast_domain::PcrSelection;

use crate::limits::{ATTEST_MAX, DIGEST_MAX};
use crate::name::Name;
use crate::pcr::{read_selection, selection_to_tpm};
use crate::wire::{Malformed, Reader, put_sized};

/// `TPM_GENERATED_VALUE`: a restricted key signs no outside data that starts with it.
const MAGIC: u32 = 0xff54_4347;
const ST_CERTIFY: u16 = 0x8017;
const ST_QUOTE: u16 = 0x8018;
/// A Name with the largest digest.
const NAME_MAX: usize = DIGEST_MAX + 2;

/// A parsed attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// The qualified name of the signing key, as the TPM computed it.
    pub qualified_signer: Name,
    /// The caller's qualifying data.
    pub extra_data: Vec<u8>,
    /// The TPM's clock.
    pub clock: ClockInfo,
    /// The vendor's firmware version.
    pub firmware_version: u64,
    /// What is attested.
    pub body: Body,
}

/// `TPMS_CLOCK_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered since it was last cleared.
    pub clock_ms: u64,
    /// TPM resets since the last clear.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether no higher clock value was ever reported; `false` just after an unorderly shutdown.
    pub safe: bool,
}

/// The body of an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `TPM2_Certify`: an object with this Name is loaded in the TPM.
    Certify {
        /// The object's Name.
        name: Name,
        /// Its qualified name, which tells the hierarchy and the ancestors.
        qualified_name: Name,
    },
    /// `TPM2_Quote`.
    Quote {
        /// The PCRs that were read.
        selection: PcrSelection,
        /// SHA-256 over their values.
        digest: [u8; 32],
    },
}

impl Attest {
    /// Parses the bytes that were signed (without the length prefix of a `TPM2B_ATTEST`).
    ///
    /// # Errors
    /// Wrong magic, another attestation type, another bank than SHA-256, bytes left over.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::bounded(bytes, ATTEST_MAX, "attestation")?;
        if reader.u32("attestation magic")? != MAGIC {
            return Err(Malformed::Invalid("attestation magic"));
        }
        let kind = reader.u16("attestation type")?;
        let qualified_signer = Name::parse(reader.sized(NAME_MAX, "qualified signer")?)?;
        let extra_data = reader.sized(DIGEST_MAX, "extra data")?.to_vec();
        let clock = ClockInfo::read(&mut reader)?;
        let firmware_version = reader.u64("firmware version")?;
        let body = match kind {
            ST_CERTIFY => Body::Certify {
                name: Name::parse(reader.sized(NAME_MAX, "certified name")?)?,
                qualified_name: Name::parse(reader.sized(NAME_MAX, "certified qualified name")?)?,
            },
            ST_QUOTE => {
                Body::Quote { selection: read_selection(&mut reader)?, digest: read_digest(&mut reader)? }
            }
            _ => return Err(Malformed::Unsupported("attestation type")),
        };
        reader.finish("attestation")?;
        Ok(Self { qualified_signer, extra_data, clock, firmware_version, body })
    }

    /// The bytes that a TPM would sign.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        let Self { qualified_signer, extra_data, clock, firmware_version, body } = self;
        let ClockInfo { clock_ms, reset_count, restart_count, safe } = clock;
        let kind = match body {
            Body::Certify { .. } => ST_CERTIFY,
            Body::Quote { .. } => ST_QUOTE,
        };
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.extend_from_slice(&kind.to_be_bytes());
        put_sized(&mut out, qualified_signer.as_bytes(), "qualified signer")?;
        put_sized(&mut out, extra_data, "extra data")?;
        out.extend_from_slice(&clock_ms.to_be_bytes());
        out.extend_from_slice(&reset_count.to_be_bytes());
        out.extend_from_slice(&restart_count.to_be_bytes());
        out.push(u8::from(*safe));
        out.extend_from_slice(&firmware_version.to_be_bytes());
        match body {
            Body::Certify { name, qualified_name } => {
                put_sized(&mut out, name.as_bytes(), "certified name")?;
                put_sized(&mut out, qualified_name.as_bytes(), "certified qualified name")?;
            }
            Body::Quote { selection, digest } => {
                out.extend_from_slice(&selection_to_tpm(selection));
                put_sized(&mut out, digest, "quote digest")?;
            }
        }
        Ok(out)
    }
}

impl ClockInfo {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            clock_ms: reader.u64("clock")?,
            reset_count: reader.u32("reset count")?,
            restart_count: reader.u32("restart count")?,
            safe: match reader.u8("clock safe")? {
                0 => false,
                1 => true,
                _ => return Err(Malformed::Invalid("clock safe")),
            },
        })
    }

    /// Whether this reading is later than `earlier`: resets, restarts and clock grow as a tuple.
    #[must_use]
    pub fn is_after(&self, earlier: &Self) -> bool {
        let tuple = |info: &Self| (info.reset_count, info.restart_count, info.clock_ms);
        tuple(self) > tuple(earlier)
    }
}

fn read_digest(reader: &mut Reader<'_>) -> Result<[u8; 32], Malformed> {
    let digest = reader.sized(DIGEST_MAX, "quote digest")?;
    digest.try_into().map_err(|_| Malformed::Unsupported("quote digest"))
}
