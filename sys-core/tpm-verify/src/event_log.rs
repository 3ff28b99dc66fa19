//! The firmware's measured boot log (TCG PC Client Platform Firmware Profile, crypto-agile form), replayed in the SHA-256 bank.

use std::collections::BTreeMap;

use holdfast_domain::PcrValue;

use crate::alg::sha256;
use crate::limits::{EVENT_LOG_MAX, EVENTS_MAX, PCR_COUNT};
use crate::wire::Malformed;

mod reader;
use reader::{Event, LogReader};

/// `EV_NO_ACTION`: informative, not extended.
const EV_NO_ACTION: u32 = 3;
/// PCRs 0 to 7 are the firmware's alone; the system extends others after the log was closed.
const FIRMWARE_PCRS: std::ops::RangeInclusive<u8> = 0..=7;
/// An `EV_NO_ACTION` event on PCR 0 with this signature says in which locality the TPM was started.
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// Why a log does not explain a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// Not a crypto-agile log.
    #[error("malformed event log")]
    Malformed(#[source] Malformed),
    /// More events than any firmware writes.
    #[error("too many events")]
    TooMany,
    /// The log's events lead to another value.
    #[error("PCR {0} does not replay")]
    Mismatch(u8),
}

impl From<Malformed> for EventLogError {
    fn from(fault: Malformed) -> Self {
        Self::Malformed(fault)
    }
}

/// Checks that the log's events lead to the quoted values of the firmware's PCRs.
///
/// # Errors
/// See [`EventLogError`].
pub fn replay(log: &[u8], quoted: &[PcrValue]) -> Result<(), EventLogError> {
    if log.len() > EVENT_LOG_MAX {
        return Err(Malformed::TooLong("event log").into());
    }
    let pcrs = extend_all(log)?;
    let firmware = quoted.iter().filter(|value| FIRMWARE_PCRS.contains(&value.index));
    for value in firmware {
        let replayed = pcrs.get(&value.index).copied().unwrap_or([0; 32]);
        if replayed != value.digest {
            return Err(EventLogError::Mismatch(value.index));
        }
    }
    Ok(())
}

fn extend_all(log: &[u8]) -> Result<BTreeMap<u8, [u8; 32]>, EventLogError> {
    let mut reader = LogReader::new(log)?;
    let mut pcrs: BTreeMap<u8, [u8; 32]> = BTreeMap::new();
    let mut count = 0usize;
    while let Some(event) = reader.next_event()? {
        count = count.saturating_add(1);
        if count > EVENTS_MAX {
            return Err(EventLogError::TooMany);
        }
        apply(&mut pcrs, &event)?;
    }
    Ok(pcrs)
}

fn apply(pcrs: &mut BTreeMap<u8, [u8; 32]>, event: &Event<'_>) -> Result<(), EventLogError> {
    if event.kind == EV_NO_ACTION {
        if let Some([locality]) = event.data.strip_prefix(STARTUP_LOCALITY).filter(|_| event.pcr == 0) {
            let mut start = [0; 32];
            start.iter_mut().rev().take(1).for_each(|byte| *byte = *locality);
            pcrs.entry(0).or_insert(start);
        }
        return Ok(());
    }
    let index = u8::try_from(event.pcr).ok().filter(|index| *index < PCR_COUNT);
    let index = index.ok_or(Malformed::Invalid("event PCR"))?;
    let digest = event.sha256.ok_or(Malformed::Unsupported("event without SHA-256"))?;
    let pcr = pcrs.entry(index).or_insert([0; 32]);
    *pcr = sha256(&[pcr, digest]);
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::sample;
