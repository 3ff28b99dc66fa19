//! Checklist lines 14 to 17: what the machine booted, and that its TPM's clock did not go back.

use holdfast_domain::{JoinEvidence, Reason};

use super::attestations::CheckedQuote;
use super::context::{UnmeasuredPcrs, VerifyContext};
use crate::denial::Denial;
use crate::{event_log, pcr};

pub(super) fn check(
    context: &VerifyContext<'_>,
    evidence: &JoinEvidence,
    quote: &CheckedQuote,
) -> Result<(), Denial> {
    check_pcrs(context, evidence, quote)?;
    check_clock(context, quote)?;
    match &evidence.event_log {
        Some(log) => {
            event_log::replay(log, &evidence.pcrs).map_err(|fault| Denial::new(Reason::EventLog, fault))
        }
        None => Ok(()),
    }
}

fn check_pcrs(
    context: &VerifyContext<'_>,
    evidence: &JoinEvidence,
    quote: &CheckedQuote,
) -> Result<(), Denial> {
    if quote.selection != *context.selection || evidence.selection != *context.selection {
        return Err(Denial::new(Reason::PcrSelection, "the quoted PCRs are not the requested ones"));
    }
    let digest = pcr::digest(context.selection, &evidence.pcrs)
        .map_err(|fault| Denial::new(Reason::PcrDigest, fault))?;
    if digest != quote.digest {
        return Err(Denial::new(Reason::PcrDigest, "the PCR values are not the quoted ones"));
    }
    let unmeasured = evidence.pcrs.iter().find(|value| !pcr::is_measured(value));
    match (context.unmeasured, unmeasured) {
        (UnmeasuredPcrs::Refuse, Some(value)) => Err(Denial::new(
            Reason::PcrUnmeasured,
            format_args!("nothing was measured into PCR {}", value.index),
        )),
        _ => Ok(()),
    }
}

/// An unsafe clock may read low once after an unorderly shutdown, so nothing is demanded of it.
fn check_clock(context: &VerifyContext<'_>, quote: &CheckedQuote) -> Result<(), Denial> {
    match context.last_clock {
        Some(last) if quote.clock.safe && !quote.clock.is_after(&last) => {
            Err(Denial::new(Reason::ClockReset, "the quote's clock is not after the last one's"))
        }
        _ => Ok(()),
    }
}
