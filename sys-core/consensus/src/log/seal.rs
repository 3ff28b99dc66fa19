//! Sealing of what a group keeps in the log: each value is bound to its place.

use holdfast_keys::aead::{AeadError, Cipher, Nonce, NonceBatch};

/// A replica's region of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) region: u64,
    pub(crate) replica: u64,
}

impl Place {
    fn aad(self, kind: &[u8], detail: &[u8]) -> Vec<u8> {
        let Self { region, replica } = self;
        let mut aad = Vec::with_capacity(32 + detail.len());
        aad.extend_from_slice(kind);
        aad.extend_from_slice(&region.to_be_bytes());
        aad.extend_from_slice(&replica.to_be_bytes());
        aad.extend_from_slice(detail);
        aad
    }

    /// Seals entries with one draw of randomness.
    pub(crate) fn seal_entries<'a>(
        self,
        cipher: &Cipher,
        entries: impl ExactSizeIterator<Item = (u64, &'a [u8])>,
    ) -> Result<Vec<(u64, Vec<u8>)>, AeadError> {
        let mut nonces = NonceBatch::draw(entries.len())?;
        entries
            .map(|(index, plain)| {
                let aad = self.aad(b"entry", &index.to_be_bytes());
                Ok((index, cipher.seal(nonces.take()?, &aad, plain)?))
            })
            .collect()
    }

    pub(crate) fn open_entry(self, cipher: &Cipher, index: u64, sealed: &[u8]) -> Result<Vec<u8>, AeadError> {
        cipher.open(&self.aad(b"entry", &index.to_be_bytes()), sealed)
    }

    pub(crate) fn seal_value(self, cipher: &Cipher, name: &[u8], plain: &[u8]) -> Result<Vec<u8>, AeadError> {
        cipher.seal(Nonce::draw()?, &self.aad(b"value", name), plain)
    }

    pub(crate) fn open_value(
        self,
        cipher: &Cipher,
        name: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, AeadError> {
        cipher.open(&self.aad(b"value", name), sealed)
    }
}
