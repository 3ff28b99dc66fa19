//! The text form of a share: `holdfast-share-1:<index>:<threshold>:<hex>:<checksum>`.
//!
//! The checksum finds slips of copying. It is no protection against forgery: combining is (see the parent).

use std::str::FromStr;

use zeroize::Zeroizing;

use super::{MAX_SHARES, Share, VALUE_LEN};
use crate::{hash::LenPrefixed, labels};

const PREFIX: &str = "holdfast-share-1";
const CHECKSUM_LEN: usize = 4;
/// Longest text: prefix, two numbers, hex of value and checksum, colons.
const MAX_TEXT: usize = 160;

/// Text that is no share. Never carries any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareTextError {
    /// Not five parts, or not beginning as shares do.
    #[error("not a share: expected {PREFIX}:<index>:<threshold>:<hex>:<checksum>")]
    Form,
    /// Index or threshold is not a number from 1 to [`MAX_SHARES`].
    #[error("share index or threshold is not a number from 1 to {MAX_SHARES}")]
    Number,
    /// The value is not hex of the right length.
    #[error("share value is not {} hex digits", VALUE_LEN * 2)]
    Value,
    /// A slip of copying.
    #[error("share is damaged: its checksum does not match")]
    Checksum,
}

impl Share {
    /// The share as one line of text, for an officer: the way out of secrecy.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let Self { index, threshold, value } = self;
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT));
        text.push_str(&format!("{PREFIX}:{index}:{threshold}:"));
        text.push_str(&Zeroizing::new(hex::encode(value.as_slice())));
        text.push_str(&format!(":{}", hex::encode(checksum(self))));
        text
    }
}

impl FromStr for Share {
    type Err = ShareTextError;

    /// Reads [`Share::expose_text`]; blanks around it do not matter.
    fn from_str(text: &str) -> Result<Self, ShareTextError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(ShareTextError::Form);
        }
        let mut parts = text.split(':');
        let mut part = || parts.next().ok_or(ShareTextError::Form);
        let (prefix, index, threshold, value_hex, check_hex) = (part()?, part()?, part()?, part()?, part()?);
        if prefix != PREFIX || parts.next().is_some() {
            return Err(ShareTextError::Form);
        }
        let mut value = Zeroizing::new([0; VALUE_LEN]);
        hex::decode_to_slice(value_hex, value.as_mut_slice()).map_err(|_| ShareTextError::Value)?;
        let share = Self { index: number(index)?, threshold: number(threshold)?, value };
        let mut claimed = [0; CHECKSUM_LEN];
        hex::decode_to_slice(check_hex, &mut claimed).map_err(|_| ShareTextError::Checksum)?;
        if claimed == checksum(&share) { Ok(share) } else { Err(ShareTextError::Checksum) }
    }
}

fn number(text: &str) -> Result<u8, ShareTextError> {
    match text.parse() {
        Ok(number @ 1..=MAX_SHARES) => Ok(number),
        _ => Err(ShareTextError::Number),
    }
}

/// Reveals 32 bits about the share, which holds 320.
fn checksum(share: &Share) -> [u8; CHECKSUM_LEN] {
    let Share { index, threshold, value } = share;
    let input =
        LenPrefixed::new(labels::RECOVERY_SHARE).number(*index).number(*threshold).field(value.as_slice());
    let input = Zeroizing::new(input.into_bytes());
    let mut sum = [0; CHECKSUM_LEN];
    sum.iter_mut().zip(crate::hash::sha256(&input)).for_each(|(to, from)| *to = from);
    sum
}
