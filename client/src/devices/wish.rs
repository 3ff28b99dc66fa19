//! What a new device writes down for one that is in: public, and worth nothing without that one's signature.

use holdfast_domain::{AccountId, ClientId, ClusterId, Signature64, UnixMs, codec};
use holdfast_keys::{ClientKey, ClientPublic, SpkiHash, devices::DeviceRequest};
use holdfast_proto::registry::v1 as pb;
use serde::{Deserialize, Serialize};

use crate::time::now;

const PREFIX: &str = "holdfast-device-1:";
/// Largest encoded wish.
const MAX_WISH: usize = 512;
/// How long it can be carried around; the registry allows a day.
const LIFE_MS: u64 = 12 * 60 * 60 * 1000;

/// A text that is no wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a device's request: expected one line that begins with `{PREFIX}`")]
pub struct WishError;

/// A new device's wish to belong to an account, proven to come from the holder of its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The cluster.
    pub cluster: ClusterId,
    /// The account.
    pub account: AccountId,
    /// The new key's id.
    pub client: ClientId,
    /// The new key.
    pub key: [u8; 32],
    /// Void after this.
    pub expires: UnixMs,
    proof: Signature64,
}

impl Wish {
    pub(super) fn new(cluster: ClusterId, account: AccountId, client: ClientId, key: &ClientKey) -> Self {
        let (expires, public) = (now().plus_ms(LIFE_MS), key.public());
        let request = DeviceRequest { cluster, account, client, key: public.as_bytes(), expires };
        let proof = key.sign_raw(&request.message());
        Self { cluster, account, client, key: *public.as_bytes(), expires, proof }
    }

    /// Reads the text form, and checks that the device holds its key.
    ///
    /// # Errors
    /// [`WishError`].
    pub fn parse(text: &[u8]) -> Result<Self, WishError> {
        let digits = text.trim_ascii().strip_prefix(PREFIX.as_bytes()).ok_or(WishError)?;
        if digits.len() > 2 * MAX_WISH {
            return Err(WishError);
        }
        let bytes = hex::decode(digits).map_err(|_| WishError)?;
        let wish: Self = codec::decode(&bytes, MAX_WISH).map_err(|_| WishError)?;
        let Self { cluster, account, client, key, expires, proof } = &wish;
        let request =
            DeviceRequest { cluster: *cluster, account: *account, client: *client, key, expires: *expires };
        let public = ClientPublic::from_bytes(key).map_err(|_| WishError)?;
        public.verify_raw(&request.message(), proof).map_err(|_| WishError)?;
        Ok(wish)
    }

    /// The text form with a newline.
    ///
    /// # Errors
    /// Never for these values; the encoder's signature has one.
    pub fn to_text(&self) -> Result<String, codec::CodecError> {
        Ok(format!("{PREFIX}{}\n", hex::encode(codec::encode(self)?)))
    }

    /// What both people see: SHA-256 of the new key.
    ///
    /// # Errors
    /// [`WishError`] when it is no key.
    pub fn key_hash(&self) -> Result<SpkiHash, WishError> {
        ClientPublic::from_bytes(&self.key).map(|key| key.spki_hash()).map_err(|_| WishError)
    }

    pub(super) fn to_wire(&self) -> pb::DeviceRequest {
        pb::DeviceRequest {
            account_id: self.account.as_bytes().to_vec().into(),
            client_id: self.client.as_bytes().to_vec().into(),
            key: self.key.to_vec().into(),
            expires_ms: self.expires.0,
            proof: self.proof.0.to_vec().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish() -> Wish {
        let key = ClientKey::generate().unwrap();
        Wish::new(ClusterId::new([1; 16]), AccountId::new([2; 16]), ClientId::new([3; 16]), &key)
    }

    #[test]
    fn a_wish_reads_back_and_one_that_was_changed_does_not() {
        let wish = wish();
        let text = wish.to_text().unwrap();
        assert_eq!(Wish::parse(text.as_bytes()), Ok(wish.clone()));
        let other = Wish { account: AccountId::new([9; 16]), ..wish };
        assert_eq!(Wish::parse(other.to_text().unwrap().as_bytes()), Err(WishError));
        assert_eq!(Wish::parse(text.trim_end().trim_end_matches(|_| true).as_bytes()), Err(WishError));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: Vec<u8>, digits in "[0-9a-f]{0,2000}") {
            let _ = Wish::parse(&text);
            let _ = Wish::parse(format!("{PREFIX}{digits}").as_bytes());
        }
    }
}
