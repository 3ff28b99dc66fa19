//! Passwords: hashed with Argon2id, a few at a time, off the runtime's threads.
//!
//! Invariants: a password is zeroized when dropped and has no `Debug`; whether there is a hash to compare with changes nothing about the effort.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use bytes::Bytes;
use holdfast_domain::Reason;
use holdfast_sys_core::Refusal;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::limits::{
    HASH_LANES, HASH_MEMORY_KIB, HASH_PASSES, HASHES_AT_ONCE, HASHES_WAITING, MAX_PASSWORD_BYTES,
    MIN_PASSWORD_BYTES,
};

/// 8 to 1024 bytes, any.
pub(crate) struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// # Errors
    /// `Malformed` for other lengths.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, Refusal> {
        if (MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES).contains(&bytes.len()) {
            Ok(Self(Zeroizing::new(bytes.to_vec())))
        } else {
            Err(Refusal::new(Reason::Malformed).because("a password has 8 to 1024 bytes"))
        }
    }
}

/// What a password is to a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another, or there is no hash.
    Wrong,
    /// The one.
    Right,
    /// The one, hashed with less effort than today's.
    Outdated,
}

/// Hashes passwords.
pub(crate) struct Hasher {
    argon: Argon2<'static>,
    /// Compared with where there is nothing to compare with. Nobody knows its password.
    dummy: String,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Why there is no hasher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("passwords cannot be hashed: {0}")]
pub struct NoHasher(&'static str);

impl Hasher {
    /// With the effort of [`limits`](crate::limits).
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn new() -> Result<Self, NoHasher> {
        let params = Params::new(HASH_MEMORY_KIB, HASH_PASSES, HASH_LANES, None)
            .map_err(|_| NoHasher("the parameters are out of bounds"))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys: Zeroizing<[u8; 32]> =
            Zeroizing::new(holdfast_keys::random_array().map_err(|_| NoHasher("there is no randomness"))?);
        let dummy = hash(&argon, &*nobodys).map_err(|_| NoHasher("hashing failed"))?;
        Ok(Self {
            argon,
            dummy,
            running: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            waiting: AtomicUsize::new(0),
        })
    }

    /// The hash to store, with a salt of its own.
    ///
    /// # Errors
    /// `Overloaded` when too many wait.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Refusal> {
        let argon = self.argon.clone();
        self.run(self.place()?, move || hash(&argon, &password.0)).await?
    }

    /// A place in the queue, for [`Self::verify`].
    ///
    /// # Errors
    /// `Overloaded` when too many wait.
    pub(crate) fn place(&self) -> Result<Place<'_>, Refusal> {
        Place::take(&self.waiting)
    }

    /// Compares; `None` costs as much as a hash that does not fit.
    ///
    /// # Errors
    /// `Internal` when hashing is not possible.
    pub(crate) async fn verify(
        &self,
        place: Place<'_>,
        stored: Option<String>,
        password: &Password,
    ) -> Result<Verdict, Refusal> {
        let (argon, known) = (self.argon.clone(), stored.is_some());
        let (stored, copy) = (stored.unwrap_or_else(|| self.dummy.clone()), Password(password.0.clone()));
        let verdict = self.run(place, move || verify(&argon, &stored, &copy.0)).await?;
        Ok(if known { verdict } else { Verdict::Wrong })
    }

    async fn run<T: Send + 'static>(
        &self,
        _place: Place<'_>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|_| Refusal::new(Reason::Internal).because("the hasher is closed"))?;
        // The permit goes with the work: who hangs up does not make room for more of it.
        let worked = tokio::task::spawn_blocking(move || (work(), drop(running)).0).await;
        worked.map_err(|_| Refusal::new(Reason::Internal).because("hashing was aborted"))
    }
}

/// A place in the queue.
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, Refusal> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) < HASHES_WAITING {
            Ok(place)
        } else {
            Err(Reason::Overloaded.into())
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash(argon: &Argon2<'_>, password: &[u8]) -> Result<String, Refusal> {
    let hashed = argon.hash_password(password);
    hashed.map(|hash| hash.to_string()).map_err(|error| Refusal::new(Reason::Internal).because(error))
}

/// With the parameters that the hash names. One that cannot be read fits no password.
fn verify(argon: &Argon2<'_>, stored: &str, password: &[u8]) -> Verdict {
    let Ok(parsed) = PasswordHash::new(stored) else { return Verdict::Wrong };
    if argon.verify_password(password, &parsed).is_err() {
        return Verdict::Wrong;
    }
    let current = Params::try_from(&parsed).is_ok_and(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost()) == (HASH_MEMORY_KIB, HASH_PASSES, HASH_LANES)
    });
    if current && parsed.algorithm == Algorithm::Argon2id.ident() {
        Verdict::Right
    } else {
        Verdict::Outdated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn passwords_have_8_to_1024_bytes() {
        for (length, fits) in [(0, false), (7, false), (8, true), (1024, true), (1025, false)] {
            assert_eq!(Password::parse(&vec![0; length].into()).is_ok(), fits, "{length}");
        }
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_has_a_salt_of_its_own() {
        let hasher = Hasher::new().unwrap();
        let first = hasher.hash(password("correct horse")).await.unwrap();
        let second = hasher.hash(password("correct horse")).await.unwrap();
        assert_ne!(first, second);
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_eq!(
            hasher
                .verify(hasher.place().unwrap(), Some(first.clone()), &password("correct horse"))
                .await
                .unwrap(),
            Verdict::Right
        );
        assert_eq!(
            hasher.verify(hasher.place().unwrap(), Some(first), &password("correct house")).await.unwrap(),
            Verdict::Wrong
        );
    }

    #[tokio::test]
    async fn an_older_hash_is_good_and_to_be_replaced() {
        let params = Params::new(8192, 1, 1, None).unwrap();
        let old = hash(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params), b"correct horse").unwrap();
        let hasher = Hasher::new().unwrap();
        let place = hasher.place().unwrap();
        let verdict = hasher.verify(place, Some(old), &password("correct horse")).await.unwrap();
        assert_eq!(verdict, Verdict::Outdated);
    }

    #[tokio::test]
    async fn what_is_no_hash_fits_no_password() {
        let hasher = Hasher::new().unwrap();
        for stored in
            [None, Some(""), Some("correct horse"), Some("$argon2id$"), Some("$argon2id$v=19$m=8,t=1,p=1$$")]
        {
            let (place, stored) = (hasher.place().unwrap(), stored.map(str::to_owned));
            let verdict = hasher.verify(place, stored.clone(), &password("correct horse")).await.unwrap();
            assert_eq!(verdict, Verdict::Wrong, "{stored:?}");
        }
    }
}
