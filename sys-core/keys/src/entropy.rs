//! Randomness, from the operating system only and never from a pool in this process (a forked or restored process would repeat it).

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct EntropyError(getrandom::Error);

/// Draws `N` random bytes. For nonces and identifiers; keys have their own `generate`.
///
/// # Errors
/// When the operating system fails to give them.
pub fn random_array<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), EntropyError> {
    getrandom::fill(bytes).map_err(EntropyError)
}

/// The operating system's randomness for libraries whose generator may not fail.
///
/// A failure is remembered and the bytes are zeros: whoever lends this out must discard the result unless [`Self::finish`]
/// succeeds.
#[derive(Default)]
pub(crate) struct SystemRng {
    failure: Option<EntropyError>,
}

impl SystemRng {
    /// Whether every byte that was handed out was random.
    pub(crate) fn finish(self) -> Result<(), EntropyError> {
        self.failure.map_or(Ok(()), Err)
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.draw_into(&mut bytes);
        bytes
    }

    fn draw_into(&mut self, bytes: &mut [u8]) {
        if let Err(error) = fill(bytes) {
            bytes.fill(0);
            self.failure = Some(error);
        }
    }
}

impl TryRng for SystemRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes(self.draw()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes(self.draw()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.draw_into(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(random_array::<32>(), random_array::<32>());
    }
}
