//! HMAC-SHA-256 under the keys that authenticate or hide names.

use std::marker::PhantomData;

use hmac::Hmac;
use sha2::Sha256;

use crate::{
    hash,
    secret::{DigestKey, LocatorKey, Secret32, SecretKey, TokenKey},
};

/// A key that may be used for HMAC, and for nothing else.
pub trait MacKey: SecretKey {}

impl MacKey for LocatorKey {}
impl MacKey for TokenKey {}
impl MacKey for DigestKey {}
/// A bare secret: the S of a join challenge, the secret of a ticket.
impl MacKey for Secret32 {}

/// HMAC over the parts, one after another. The caller's layout must make their boundaries plain.
pub fn tag(key: &impl MacKey, parts: &[&[u8]]) -> [u8; 32] {
    hash::hmac_parts(key.expose_for_wrapping(), parts)
}

/// The first 16 bytes of [`tag`], as stored in record keys.
pub fn token(key: &impl MacKey, parts: &[&[u8]]) -> [u8; 16] {
    let [token @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = tag(key, parts);
    token
}

/// A key with its schedule made, for many messages. As secret as the key: in one heap place that is wiped on drop.
pub struct Keyed<K>(Box<Hmac<Sha256>>, PhantomData<K>);

impl<K: MacKey> Keyed<K> {
    /// Prepares a key.
    pub fn new(key: &K) -> Self {
        Self(Box::new(hash::hmac_keyed(key.expose_for_wrapping())), PhantomData)
    }

    /// As [`token`].
    pub fn token(&self, parts: &[&[u8]]) -> [u8; 16] {
        let tag = hash::finish((*self.0).clone(), parts);
        let [token @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = tag;
        token
    }
}

/// Whether `claimed` is the tag of the parts, in constant time.
pub fn verify(key: &impl MacKey, parts: &[&[u8]], claimed: &[u8]) -> bool {
    hash::equal_constant_time(&tag(key, parts), claimed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_start_of_the_tag() {
        let key = LocatorKey::from_bytes([7; 32]);
        assert_eq!(token(&key, &[b"ab", b"c"]), tag(&key, &[b"a", b"bc"])[..16]);
        assert_eq!(Keyed::new(&key).token(&[b"ab", b"c"]), token(&key, &[b"abc"]));
    }

    #[test]
    fn a_tag_of_another_message_or_length_is_refused() {
        let key = Secret32::from_bytes([7; 32]);
        let tag = tag(&key, &[b"m"]);
        assert!(verify(&key, &[b"m"], &tag));
        assert!(!verify(&key, &[b"n"], &tag));
        assert!(!verify(&key, &[b"m"], &tag[..31]));
    }
}
