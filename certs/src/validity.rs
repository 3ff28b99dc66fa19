//! From when to when a certificate holds.

use holdfast_domain::UnixMs;
use rcgen::CertificateParams;

use crate::limits::BACKDATE_MS;

/// Last second that X.509 can write: 9999-12-31T23:59:59Z (RFC 5280, 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;

/// A span of time, both ends included, cut to whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: UnixMs,
    pub(crate) not_after: UnixMs,
}

impl Validity {
    /// From five minutes before `now` for `lifetime_ms` after it.
    pub(crate) const fn starting(now: UnixMs, lifetime_ms: u64) -> Self {
        Self { not_before: UnixMs(now.0.saturating_sub(BACKDATE_MS)), not_after: now.plus_ms(lifetime_ms) }
    }

    /// The part of this span that `outer` covers: no certificate outlives its issuer.
    pub(crate) fn within(self, outer: Self) -> Self {
        Self {
            not_before: self.not_before.max(outer.not_before),
            not_after: self.not_after.min(outer.not_after),
        }
    }

    pub(crate) fn write(self, params: &mut CertificateParams) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let second = |at: UnixMs| std::time::Duration::from_secs((at.0 / 1000).min(LAST_SECOND));
        params.not_before = epoch + second(self.not_before);
        params.not_after = epoch + second(self.not_after);
    }

    /// `None` for a certificate from before 1970.
    pub(crate) fn read(validity: &x509_parser::certificate::Validity) -> Option<Self> {
        let ms = |second: i64| u64::try_from(second).ok()?.checked_mul(1000).map(UnixMs);
        Some(Self {
            not_before: ms(validity.not_before.timestamp())?,
            not_after: ms(validity.not_after.timestamp())?,
        })
    }
}
