//! Codes that go by mail: 32 random bytes, of which only a hash is kept, made for one purpose.

use std::str::FromStr;

use holdfast_accounts_api::v1::MailPurpose;
use holdfast_domain::{Reason, Sha256Hash};
use holdfast_keys::{hash::sha256, random_array};
use holdfast_sys_core::Refusal;
use zeroize::Zeroizing;

const BYTES: usize = 32;

/// A code. It has no `Debug`: it is in the mail and nowhere else.
pub(crate) struct Token(Zeroizing<[u8; BYTES]>);

impl Token {
    /// # Errors
    /// `Internal` without randomness.
    pub(crate) fn draw() -> Result<Self, Refusal> {
        let bytes = random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// What is kept of it: nobody finds it for another purpose.
    pub(crate) fn hash(&self, purpose: MailPurpose) -> Sha256Hash {
        let purpose = purpose.as_str_name().as_bytes();
        Sha256Hash::new(sha256(&[b"mail-token/v1 ", purpose, b" ", &self.0[..]].concat()))
    }

    /// For the mail.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }
}

impl FromStr for Token {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        hex::decode_to_slice(text.trim(), &mut *bytes).map_err(|_| Refusal::new(Reason::CodeUnknown))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_survives_its_text_and_is_another_for_each_purpose() {
        let token = Token::draw().unwrap();
        let same: Token = format!(" {} \n", *token.text()).parse().unwrap();
        assert_eq!(token.hash(MailPurpose::Reset), same.hash(MailPurpose::Reset));
        assert_ne!(token.hash(MailPurpose::Reset), token.hash(MailPurpose::Verify));
        assert_ne!(token.hash(MailPurpose::Reset), Token::draw().unwrap().hash(MailPurpose::Reset));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_a_code_or_refused(text in "[0-9a-f]{0,70}|\\PC*") {
            match text.parse::<Token>() {
                Ok(token) => prop_assert_eq!(&*token.text(), &text.trim().to_lowercase()),
                Err(refusal) => prop_assert_eq!(refusal.reason(), Reason::CodeUnknown),
            }
        }
    }
}
