//! Counting attempts: a burst at once, then one in a while (GCRA), for a bounded number of keys.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::limits::MAX_COUNTED;

/// How many attempts are fine.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// And one more each time this has passed.
    pub every: Duration,
}

/// Over the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts")]
pub struct TooMany;

/// Attempts by key.
pub struct Attempts<K> {
    rate: Rate,
    /// When all attempts of a key are paid off.
    paid_off: Mutex<BTreeMap<K, Instant>>,
}

impl<K: Ord> Attempts<K> {
    /// Counts at this rate.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, paid_off: Mutex::new(BTreeMap::new()) }
    }

    /// Counts one attempt; refused ones are not counted.
    ///
    /// # Errors
    /// [`TooMany`] over the rate, and for a new key while the table is full of others.
    pub fn take(&self, key: K, now: Instant) -> Result<(), TooMany> {
        let mut paid_off = self.paid_off.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_off.len() >= MAX_COUNTED && !paid_off.contains_key(&key) {
            paid_off.retain(|_, at| *at > now);
            if paid_off.len() >= MAX_COUNTED {
                return Err(TooMany);
            }
        }
        let until = paid_off.get(&key).map_or(now, |at| (*at).max(now)) + self.rate.every;
        if until.duration_since(now) > self.rate.every.saturating_mul(self.rate.burst) {
            return Err(TooMany);
        }
        paid_off.insert(key, until);
        Ok(())
    }
}

/// An address as it is counted: of IPv6 the /64, which one subscriber has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A whole IPv4 address.
    V4([u8; 4]),
    /// A /64.
    V6([u16; 4]),
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, every: Duration::from_secs(1) };

    #[test]
    fn a_burst_is_followed_by_one_attempt_in_a_while() {
        let (attempts, start) = (Attempts::new(RATE), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..3).all(|_| attempts.take('a', at(0)).is_ok()));
        assert_eq!(attempts.take('a', at(0)), Err(TooMany));
        assert_eq!(attempts.take('b', at(0)), Ok(()), "keys are counted apart");
        assert_eq!(attempts.take('a', at(1)), Ok(()));
        assert_eq!(attempts.take('a', at(1)), Err(TooMany));
    }

    #[test]
    fn addresses_of_one_subscriber_count_as_one() {
        let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
    }

    #[test]
    fn a_full_table_forgets_who_has_paid_and_refuses_nobody_it_knows() {
        let (attempts, start) = (Attempts::new(RATE), Instant::now());
        assert!((0..MAX_COUNTED).all(|key| attempts.take(key, start).is_ok()));
        assert_eq!(attempts.take(MAX_COUNTED, start), Err(TooMany));
        assert_eq!(attempts.take(0, start), Ok(()));
        assert_eq!(attempts.take(MAX_COUNTED, start + Duration::from_secs(2)), Ok(()));
    }
}
