//! PCR selections and values in their TPM form, SHA-256 bank only.

use holdfast_domain::{PcrSelection, PcrValue};

use crate::alg::{ALG_SHA256, sha256};
use crate::wire::{Malformed, Reader};

/// Select octets of a PC client TPM: 24 PCRs.
const SELECT_BYTES: u8 = 3;
/// One bank takes 10 bytes.
const SELECTION_MAX: usize = 64;

/// Parses a `TPML_PCR_SELECTION`; the whole input must be consumed.
///
/// # Errors
/// Anything but one non-empty SHA-256 bank of 24 PCRs.
pub fn parse_selection(bytes: &[u8]) -> Result<PcrSelection, Malformed> {
    let mut reader = Reader::bounded(bytes, SELECTION_MAX, "PCR selection")?;
    let selection = read_selection(&mut reader)?;
    reader.finish("PCR selection")?;
    Ok(selection)
}

pub(crate) fn read_selection(reader: &mut Reader<'_>) -> Result<PcrSelection, Malformed> {
    if reader.u32("PCR banks")? != 1 {
        return Err(Malformed::Unsupported("PCR banks"));
    }
    if reader.u16("PCR bank")? != ALG_SHA256 {
        return Err(Malformed::Unsupported("PCR bank"));
    }
    if reader.u8("PCR select size")? != SELECT_BYTES {
        return Err(Malformed::Unsupported("PCR select size"));
    }
    let [a, b, c] = reader.array::<3>("PCR select")?;
    // Octet n holds PCRs 8n to 8n+7, least significant bit first.
    let bits = u32::from_le_bytes([a, b, c, 0]);
    let indices: Vec<u8> = (0..PcrSelection::PCRS).filter(|index| bits & (1 << index) != 0).collect();
    PcrSelection::try_from(indices).map_err(|_| Malformed::Invalid("PCR selection"))
}

/// The `TPML_PCR_SELECTION`.
#[must_use]
pub fn selection_to_tpm(selection: &PcrSelection) -> Vec<u8> {
    let mut out = 1u32.to_be_bytes().to_vec();
    out.extend_from_slice(&ALG_SHA256.to_be_bytes());
    out.push(SELECT_BYTES);
    out.extend_from_slice(&selection.bitmap());
    out
}

/// The digest that quotes and PCR policies carry: SHA-256 over the values, ascending.
///
/// # Errors
/// `values` is not exactly the selection, in its order.
pub fn digest(selection: &PcrSelection, values: &[PcrValue]) -> Result<[u8; 32], Malformed> {
    if !selection.indices().iter().eq(values.iter().map(|value| &value.index)) {
        return Err(Malformed::Invalid("PCR values"));
    }
    let digests: Vec<&[u8]> = values.iter().map(|value| value.digest.as_slice()).collect();
    Ok(sha256(&digests))
}

/// Whether anything was ever measured into the PCR: all zero and all one are what it starts with.
#[must_use]
pub fn is_measured(value: &PcrValue) -> bool {
    value.digest != [0; 32] && value.digest != [0xff; 32]
}
