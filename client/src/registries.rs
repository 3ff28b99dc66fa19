//! Calls to whichever registry answers: addresses are tried in turn, each call within its patience.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use holdfast_certs::{DialError, Dialed, Dialer, ExpectedServer};
use holdfast_keys::random_array;
use tonic::{Status, transport::Channel};

use crate::{
    error::{Answer, Error, is_passing},
    limits::CALL_TIMEOUT,
    retry::{Failure, Retry, Step},
};

/// Whether a call may be repeated when its outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// Only when it certainly did not happen.
    UnlessSent,
}

/// The registries of one cluster, as one identity sees them.
pub struct Registries {
    addresses: Vec<String>,
    dialer: Dialer,
    patience: Duration,
    preferred: AtomicUsize,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl Registries {
    /// Registries at these addresses (`host:port`), dialed by `dialer`.
    pub fn new(addresses: Vec<String>, dialer: Dialer, patience: Duration) -> Self {
        Self { addresses, dialer, patience, preferred: AtomicUsize::new(0), channels: Mutex::default() }
    }

    /// The addresses.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// How long calls are tried.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Opens one connection to the first registry that answers, for calls that are bound to their connection.
    ///
    /// # Errors
    /// [`Error::Untrusted`], or [`Error::Dial`] of the last address.
    pub async fn dial(&self, action: &str) -> Result<Dialed, Error> {
        let mut last = DialError::Address(String::new());
        for address in &self.addresses {
            match self.dialer.connect(address, &ExpectedServer::AnyRegistry).await {
                Ok(dialed) => return Ok(dialed),
                Err(error @ DialError::Server { .. }) => return Err(Error::dial(action, error)),
                Err(error) => {
                    tracing::debug!(address, error = holdfast_domain::causes(&error), "registry not reached");
                    last = error;
                }
            }
        }
        Err(Error::dial(action, last))
    }

    /// Calls one registry after the other until one answers or patience ends.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call<T, F, Fut>(&self, action: &str, repeat: Repeat, call: F) -> Result<T, Error>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let began = Instant::now();
        let mut retry = Retry::new(millis(self.patience), 0);
        loop {
            let channel = self.channel(action)?;
            let answer = match tokio::time::timeout(CALL_TIMEOUT, call(channel)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(status)) => Answer::of(&status),
                Err(_) => Answer::Silent { last: "no reply in time".to_owned(), sent: true },
            };
            if let (Repeat::UnlessSent, Answer::Silent { last, sent: true }) = (repeat, &answer) {
                return Err(Error::Unknown { action: action.to_owned(), last: last.clone() });
            }
            let failure = match &answer {
                Answer::Silent { .. } => Failure::Unavailable,
                Answer::Refused { reason, .. } if is_passing(*reason) => Failure::Unavailable,
                _ => Failure::Final,
            };
            match retry.after(failure, millis(began.elapsed()), jitter()) {
                Step::GiveUp => return Err(answer.into_error(action, began.elapsed())),
                Step::Again { after_ms, .. } => {
                    tracing::debug!(action, after_ms, ?answer, "trying another registry");
                    self.preferred.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                }
            }
        }
    }

    fn channel(&self, action: &str) -> Result<Channel, Error> {
        let at = self.preferred.load(Ordering::Relaxed).checked_rem(self.addresses.len()).unwrap_or(0);
        let none = || Error::dial(action, DialError::Address(String::new()));
        let address = self.addresses.get(at).ok_or_else(none)?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.dialer.channel(address, ExpectedServer::AnyRegistry);
        let channel = channel.map_err(|error| Error::dial(action, error))?;
        channels.insert(address.clone(), channel.clone());
        Ok(channel)
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Spreads retries. Without randomness they are not spread, which is no reason to fail.
pub(crate) fn jitter() -> u16 {
    random_array().map_or(0, u16::from_be_bytes)
}
