//! Refused joins: an audit event for each that got somewhere, and one line in the log for each reason and minute.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_domain::{EkHash, JoinEvidence, Reason};
use holdfast_sys_core::Refusal;
use holdfast_tpm_verify::{Denial, pcr};

use crate::services::limits::REJECTION_WINDOW;

/// Who a machine says it is, as far as it can be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim {
    pub(super) ek: Option<EkHash>,
    /// Name of the AK, in hex.
    pub(super) ak: Option<String>,
    pub(super) pcr_digest: Option<[u8; 32]>,
}

impl Claim {
    /// The same with the boot state that the evidence shows.
    pub(super) fn with_boot(&self, evidence: &JoinEvidence) -> Self {
        let pcr_digest = pcr::digest(&evidence.selection, &evidence.pcrs).ok();
        Self { pcr_digest, ..self.clone() }
    }
}

/// A join that was refused. The reason goes on the wire, the rest into the log.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) reason: Reason,
    pub(super) detail: String,
    claim: Box<Claim>,
}

impl Rejected {
    pub(super) fn of(reason: Reason, detail: impl std::fmt::Display) -> Self {
        Self { reason, detail: detail.to_string(), claim: Box::default() }
    }

    pub(super) fn about(self, claim: &Claim) -> Self {
        Self { claim: Box::new(claim.clone()), ..self }
    }
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::of(refusal.reason(), refusal.detail().unwrap_or_default())
    }
}

impl From<Denial> for Rejected {
    fn from(Denial { reason, detail }: Denial) -> Self {
        Self::of(reason, detail)
    }
}

/// Counts refusals by reason.
#[derive(Default)]
pub(super) struct Rejections(Mutex<BTreeMap<Reason, Count>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Count {
    count: u64,
    last: String,
}

impl Rejections {
    /// Sums up each minute for as long as somebody counts.
    pub(super) fn start() -> Arc<Self> {
        let rejections = Arc::new(Self::default());
        let weak = Arc::downgrade(&rejections);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REJECTION_WINDOW).await;
                match weak.upgrade() {
                    Some(rejections) => rejections.sum_up(),
                    None => return,
                }
            }
        });
        rejections
    }

    pub(super) fn record(&self, rejected: &Rejected, address: IpAddr) {
        let Rejected { reason, detail, claim } = rejected;
        let Claim { ek, ak, pcr_digest } = &**claim;
        // A flood is what these two answer; they are counted only.
        if !matches!(reason, Reason::RateLimited | Reason::Overloaded) {
            let ek = ek.map(tracing::field::display);
            let ak = ak.as_ref().map(tracing::field::display);
            let pcrs = pcr_digest.map(|digest| tracing::field::display(hex::encode(digest)));
            tracing::info!(
                target: "audit", decision = "deny", action = "join", reason = reason.code(), %address, ek, ak, pcrs, detail
            );
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(*reason).or_insert_with(|| Count { count: 0, last: String::new() });
        count.count = count.count.saturating_add(1);
        count.last = format!("{address}: {detail}");
    }

    fn sum_up(&self) {
        for (reason, Count { count, last }) in self.take() {
            tracing::warn!(reason = reason.code(), count, last, "joins refused in the last minute");
        }
    }

    fn take(&self) -> BTreeMap<Reason, Count> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_reason_and_only_once() {
        let rejections = Rejections::default();
        for port in 0..3 {
            let rejected = Rejected::of(Reason::EkNotAdmitted, format!("machine {port}"));
            rejections.record(&rejected, [10, 0, 0, 1].into());
        }
        rejections.record(&Rejected::of(Reason::RateLimited, "flood"), [10, 0, 0, 2].into());
        let counts = rejections.take();
        let expected = Count { count: 3, last: "10.0.0.1: machine 2".into() };
        assert_eq!(counts.get(&Reason::EkNotAdmitted), Some(&expected));
        assert_eq!(counts.len(), 2);
        assert!(rejections.take().is_empty());
    }
}
