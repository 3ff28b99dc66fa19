//! Nonces: each is good for one sign-in and a minute.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use holdfast_domain::{Reason, UnixMs};
use holdfast_keys::random_array;

use super::limits::{CHALLENGE_MS, CHALLENGES_PER_ADDRESS, MAX_CHALLENGES};
use crate::{
    attempts::{Attempts, Origin},
    errors::Refusal,
};

/// The nonces that can be answered.
pub(super) struct Challenges {
    attempts: Attempts<Origin>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    ends: BTreeMap<[u8; 32], UnixMs>,
    /// In the order of their making, used ones included.
    made: VecDeque<[u8; 32]>,
}

impl Challenges {
    pub(super) fn none() -> Self {
        Self { attempts: Attempts::new(CHALLENGES_PER_ADDRESS), open: Mutex::default() }
    }

    /// A new one.
    pub(super) fn make(&self, address: IpAddr, now: UnixMs) -> Result<[u8; 32], Refusal> {
        self.attempts.take(address.into(), Instant::now()).map_err(|_| Reason::RateLimited)?;
        let nonce = random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.forget(now);
        open.ends.insert(nonce, now.plus_ms(CHALLENGE_MS));
        open.made.push_back(nonce);
        Ok(nonce)
    }

    /// Uses one up.
    pub(super) fn take(&self, nonce: &[u8; 32], now: UnixMs) -> Result<(), Reason> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let end = open.ends.remove(nonce).ok_or(Reason::ChallengeUnknown)?;
        if now < end { Ok(()) } else { Err(Reason::ChallengeUnknown) }
    }
}

impl Open {
    /// Makes room for one more: the used and the over, and when there are still too many, the oldest.
    fn forget(&mut self, now: UnixMs) {
        while let Some(oldest) = self.made.front() {
            let over = self.ends.get(oldest).is_none_or(|end| *end <= now);
            if !over && self.made.len() < MAX_CHALLENGES {
                return;
            }
            self.ends.remove(oldest);
            self.made.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        let [a, b] = [number >> 16, number & 0xffff].map(|half| u16::try_from(half).unwrap());
        Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, 0, 1).into()
    }

    #[test]
    fn a_nonce_is_good_once_and_for_a_minute() {
        let challenges = Challenges::none();
        let (once, late) = (challenges.make(address(1), UnixMs(0)), challenges.make(address(1), UnixMs(0)));
        let (once, late) = (once.unwrap(), late.unwrap());
        assert_eq!(challenges.take(&once, UnixMs(CHALLENGE_MS - 1)), Ok(()));
        assert_eq!(challenges.take(&once, UnixMs(CHALLENGE_MS - 1)), Err(Reason::ChallengeUnknown));
        assert_eq!(challenges.take(&late, UnixMs(CHALLENGE_MS)), Err(Reason::ChallengeUnknown));
        assert_eq!(challenges.take(&[0; 32], UnixMs(0)), Err(Reason::ChallengeUnknown));
    }

    #[test]
    fn one_address_gets_so_many_and_all_together_so_many() {
        let challenges = Challenges::none();
        let refused = (0..2_000).find_map(|_| challenges.make(address(1), UnixMs(0)).err());
        assert_eq!(refused.unwrap().reason(), Reason::RateLimited);
        let (mut first, mut last) = (None, [0; 32]);
        for number in 0..u32::try_from(MAX_CHALLENGES + 1).unwrap() {
            // A few addresses more than are counted: the attempts have bounds of their own.
            last = challenges.make(address(2 + number / 256), UnixMs(1)).unwrap();
            first.get_or_insert(last);
        }
        assert!(challenges.open.lock().unwrap().made.len() <= MAX_CHALLENGES);
        assert_eq!(challenges.take(&first.unwrap(), UnixMs(1)), Err(Reason::ChallengeUnknown));
        assert_eq!(challenges.take(&last, UnixMs(1)), Ok(()));
    }
}
