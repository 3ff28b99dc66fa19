//! Shares of the recovery key (Shamir over GF(2⁸)) and their text form for officers.
//!
//! What is split is `key (32) ‖ check (8)`. The check, a labelled hash of the key, makes combining refuse shares that are too
//! few, of different splits, or forged: plain Shamir would return some other key without a word. More shares than the threshold
//! must agree with each other, so a wrong one among them is noticed too.

use std::collections::BTreeSet;

use blahaj::Sharks;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    entropy::{EntropyError, SystemRng},
    hash::{LenPrefixed, equal_constant_time},
    labels,
    secret::{KEY_LEN, Secret32},
};

mod text;

pub use text::ShareTextError;

/// Most shares of one split: officers are few.
pub const MAX_SHARES: u8 = 32;
const CHECK_LEN: usize = 8;
const VALUE_LEN: usize = KEY_LEN + CHECK_LEN;

/// Why a key was not split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Not 1 ≤ threshold ≤ shares ≤ [`MAX_SHARES`].
    #[error(
        "cannot split {threshold} of {shares}: at least 1, at most {MAX_SHARES}, and the threshold not above the shares"
    )]
    Threshold {
        /// Shares that were to combine.
        threshold: u8,
        /// Shares that were to exist.
        shares: u8,
    },
    /// No randomness.
    #[error("no random polynomial")]
    Entropy(#[from] EntropyError),
}

/// Why shares do not combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// Fewer than the threshold.
    #[error("{given} shares given, {threshold} needed")]
    TooFew {
        /// Shares given.
        given: usize,
        /// Shares needed.
        threshold: u8,
    },
    /// The same share twice.
    #[error("share {0} is given twice")]
    Repeated(u8),
    /// Shares with different thresholds are not of one split.
    #[error("shares are of different splits")]
    Mixed,
    /// The shares do not make a key: one of them is of another split, or not genuine.
    #[error("shares do not belong together")]
    Refused,
}

/// One officer's share. As secret as a part of a key can be: no printing, no copying.
///
/// ```compile_fail,E0277
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<holdfast_keys::Share>();
/// ```
/// ```compile_fail,E0277
/// fn clonable<T: Clone>() {}
/// clonable::<holdfast_keys::Share>();
/// ```
pub struct Share {
    index: u8,
    threshold: u8,
    value: Zeroizing<[u8; VALUE_LEN]>,
}

impl Share {
    /// The share's number, from 1.
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// How many shares combine.
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }
}

pub(crate) fn split(key: &Secret32, threshold: u8, shares: u8) -> Result<Vec<Share>, SplitError> {
    if threshold < 1 || threshold > shares || shares > MAX_SHARES {
        return Err(SplitError::Threshold { threshold, shares });
    }
    let mut value = Zeroizing::new([0; VALUE_LEN]);
    let parts = key.expose_for_wrapping().iter().copied().chain(check(key));
    value.iter_mut().zip(parts).for_each(|(to, from)| *to = from);

    let mut rng = SystemRng::default();
    let dealt: Vec<_> =
        Sharks(threshold).dealer_rng(value.as_slice(), &mut rng).take(usize::from(shares)).collect();
    rng.finish()?;
    dealt
        .iter()
        .map(|share| from_dealt(share, threshold).ok_or(SplitError::Threshold { threshold, shares }))
        .collect()
}

pub(crate) fn combine(shares: &[Share]) -> Result<Secret32, CombineError> {
    let threshold = shares.first().ok_or(CombineError::TooFew { given: 0, threshold: 1 })?.threshold;
    if shares.iter().any(|share| share.threshold != threshold) {
        return Err(CombineError::Mixed);
    }
    let mut seen = BTreeSet::new();
    if let Some(share) = shares.iter().find(|share| !seen.insert(share.index)) {
        return Err(CombineError::Repeated(share.index));
    }
    if shares.len() < usize::from(threshold) {
        return Err(CombineError::TooFew { given: shares.len(), threshold });
    }
    let points = shares.iter().map(to_point).collect::<Result<Vec<_>, _>>()?;
    let value = Zeroizing::new(Sharks(threshold).recover(&points).map_err(|_| CombineError::Refused)?);
    let (key, claimed) = value.split_at_checked(KEY_LEN).ok_or(CombineError::Refused)?;
    let key = Secret32::from_slice(key).map_err(|_| CombineError::Refused)?;
    if equal_constant_time(&check(&key), claimed) { Ok(key) } else { Err(CombineError::Refused) }
}

/// Safe to share along with the key: it tells nothing about 32 random bytes.
fn check(key: &Secret32) -> [u8; CHECK_LEN] {
    let mut input = LenPrefixed::new(labels::RECOVERY_CHECK).field(key.expose_for_wrapping()).into_bytes();
    let digest = crate::hash::sha256(&input);
    input.zeroize();
    let mut check = [0; CHECK_LEN];
    check.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    check
}

fn from_dealt(dealt: &blahaj::Share, threshold: u8) -> Option<Share> {
    let bytes = Zeroizing::new(Vec::from(dealt));
    let (&index, value) = bytes.split_first()?;
    Some(Share { index, threshold, value: Zeroizing::new(value.try_into().ok()?) })
}

fn to_point(share: &Share) -> Result<blahaj::Share, CombineError> {
    let bytes = Zeroizing::new([&[share.index], share.value.as_slice()].concat());
    blahaj::Share::try_from(bytes.as_slice()).map_err(|_| CombineError::Refused)
}

#[cfg(test)]
mod tests;
