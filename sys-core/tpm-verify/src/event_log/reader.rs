//! Reading events: little-endian, unlike everything a TPM writes itself.

use crate::alg::ALG_SHA256;
use crate::wire::{Malformed, Reader};

/// Digest algorithms that one log carries: at most one for each bank.
const BANKS_MAX: u32 = 8;
/// Signature of the first event's data.
const SPEC_ID: &[u8; 16] = b"Spec ID Event03\0";

/// One measured event.
pub(super) struct Event<'a> {
    pub(super) pcr: u32,
    pub(super) kind: u32,
    pub(super) sha256: Option<&'a [u8; 32]>,
    pub(super) data: &'a [u8],
}

/// A log after its header event.
pub(super) struct LogReader<'a> {
    rest: Reader<'a>,
    /// Digest sizes by algorithm, as the header declares them.
    sizes: Vec<(u16, usize)>,
}

impl<'a> LogReader<'a> {
    /// Reads the header: one event of the old SHA-1 form whose data declares the digests of all others.
    pub(super) fn new(log: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = Reader::bounded(log, log.len(), "event log")?;
        let _pcr = u32_le(&mut rest)?;
        let _kind = u32_le(&mut rest)?;
        rest.take(20, "header digest")?;
        let len = u32_le(&mut rest)?;
        let data = rest.take(usize_of(len)?, "header event")?;
        Ok(Self { rest, sizes: read_spec_id(data)? })
    }

    pub(super) fn next_event(&mut self) -> Result<Option<Event<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let pcr = u32_le(&mut self.rest)?;
        let kind = u32_le(&mut self.rest)?;
        let count = u32_le(&mut self.rest)?;
        if count > BANKS_MAX {
            return Err(Malformed::TooLong("event digests"));
        }
        let mut sha256 = None;
        for _ in 0..count {
            let algorithm = u16_le(&mut self.rest)?;
            let declared = self.sizes.iter().find(|(known, _)| *known == algorithm);
            let (_, size) = declared.ok_or(Malformed::Invalid("event digest algorithm"))?;
            let digest = self.rest.take(*size, "event digest")?;
            if algorithm == ALG_SHA256 {
                sha256 = Some(digest.try_into().map_err(|_| Malformed::Invalid("event digest"))?);
            }
        }
        let len = u32_le(&mut self.rest)?;
        let data = self.rest.take(usize_of(len)?, "event data")?;
        Ok(Some(Event { pcr, kind, sha256, data }))
    }
}

/// `TCG_EfiSpecIDEvent`.
fn read_spec_id(data: &[u8]) -> Result<Vec<(u16, usize)>, Malformed> {
    let mut reader = Reader::bounded(data, data.len(), "log header")?;
    if reader.array::<16>("log signature")? != *SPEC_ID {
        return Err(Malformed::Unsupported("event log format"));
    }
    // Platform class, spec version (minor, major, errata), size of UINTN.
    reader.take(8, "log header")?;
    let count = u32_le(&mut reader)?;
    if count > BANKS_MAX {
        return Err(Malformed::TooLong("log digests"));
    }
    let mut sizes = Vec::new();
    for _ in 0..count {
        sizes.push((u16_le(&mut reader)?, usize::from(u16_le(&mut reader)?)));
    }
    let vendor = reader.u8("vendor info size")?;
    reader.take(usize::from(vendor), "vendor info")?;
    reader.finish("log header")?;
    Ok(sizes)
}

fn u16_le(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    reader.array("event log").map(u16::from_le_bytes)
}

fn u32_le(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    reader.array("event log").map(u32::from_le_bytes)
}

fn usize_of(len: u32) -> Result<usize, Malformed> {
    usize::try_from(len).map_err(|_| Malformed::TooLong("event log"))
}
