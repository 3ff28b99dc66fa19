//! Calls to whichever registry answers: addresses are tried in turn, each call within its patience. Whoever answered, and the members that
//! it names, are remembered for later processes.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use holdfast_certs::{DialError, Dialed, Dialer, ExpectedServer};
use holdfast_domain::Reason;
use holdfast_keys::random_array;
use holdfast_proto::registry::v1::{self as pb, directory_client::DirectoryClient};
use tonic::{Status, transport::Channel};

use crate::{
    error::{Answer, Error, is_passing},
    limits::{CALL_TIMEOUT, LEARN_TIMEOUT},
    retry::{Failure, Retry, Step},
    voters::{VotersFile, merged},
};

/// Whether a call may be repeated when its outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// The same, but a conflict is an answer: the state forbids it, and the same again would not change that.
    UnlessRefused,
    /// Only when it certainly did not happen.
    UnlessSent,
}

/// The registries of one cluster, as one identity sees them.
pub struct Registries {
    dialer: Dialer,
    patience: Duration,
    file: Option<VotersFile>,
    members: Mutex<Members>,
}

struct Members {
    /// The one to call next comes first.
    addresses: Vec<String>,
    channels: BTreeMap<String, Channel>,
    /// Whom the context names.
    configured: Vec<String>,
    /// As the file has them.
    remembered: Vec<String>,
}

impl Registries {
    /// Registries at these addresses (`host:port`), dialed by `dialer`.
    pub fn new(addresses: Vec<String>, dialer: Dialer, patience: Duration) -> Self {
        Self::of(None, addresses.clone(), addresses, dialer, patience)
    }

    /// As [`Self::new`], and those that `file` remembers first.
    pub(crate) fn remembering(
        file: VotersFile,
        addresses: Vec<String>,
        dialer: Dialer,
        patience: Duration,
    ) -> Self {
        let known = file.before(&addresses);
        Self::of(Some(file), known, addresses, dialer, patience)
    }

    fn of(
        file: Option<VotersFile>,
        addresses: Vec<String>,
        configured: Vec<String>,
        dialer: Dialer,
        patience: Duration,
    ) -> Self {
        let remembered = addresses.clone();
        let members = Members { addresses, channels: BTreeMap::new(), configured, remembered };
        Self { dialer, patience, file, members: Mutex::new(members) }
    }

    /// The addresses, the one to call next first.
    pub fn addresses(&self) -> Vec<String> {
        self.members().addresses.clone()
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
        for address in self.addresses() {
            match self.dialer.connect(&address, &ExpectedServer::AnyRegistry).await {
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
            let (address, channel) = self.next(action)?;
            let answer = match tokio::time::timeout(CALL_TIMEOUT, call(channel)).await {
                Ok(Ok(reply)) => {
                    self.answered();
                    return Ok(reply);
                }
                Ok(Err(status)) => Answer::of(&status),
                Err(_) => Answer::Silent { last: "no reply in time".to_owned(), sent: true },
            };
            if let (Repeat::UnlessSent, Answer::Silent { last, sent: true }) = (repeat, &answer) {
                return Err(Error::Unknown { action: action.to_owned(), last: last.clone() });
            }
            let failure = match &answer {
                Answer::Silent { .. } => Failure::NoServer,
                Answer::Refused { reason: Reason::Overloaded | Reason::RateLimited, .. } => Failure::Busy,
                Answer::Refused { reason: Reason::Conflict, .. } if repeat != Repeat::Safe => Failure::Final,
                Answer::Refused { reason, .. } if is_passing(*reason) => Failure::NoServer,
                _ => Failure::Final,
            };
            match retry.after(failure, millis(began.elapsed()), jitter()) {
                Step::GiveUp => return Err(answer.into_error(action, began.elapsed())),
                Step::Again { after_ms, .. } => {
                    tracing::debug!(action, after_ms, ?answer, "trying another registry");
                    self.pass_over(&address);
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                }
            }
        }
    }

    /// Asks for the registry's members and remembers them. Best effort.
    pub(crate) async fn learn(&self) {
        const ACTION: &str = "learn who the registry's members are";
        let Ok((address, _)) = self.next(ACTION) else { return };
        let asked = self.call(ACTION, Repeat::Safe, |channel| {
            let mut directory = DirectoryClient::new(channel);
            async move { directory.bootstrap(pb::BootstrapRequest {}).await.map(tonic::Response::into_inner) }
        });
        match tokio::time::timeout(LEARN_TIMEOUT, asked).await {
            Ok(Ok(reply)) => self.take(reply.voters),
            Ok(Err(error)) => tracing::debug!(error = holdfast_domain::causes(&error), "nobody names voters"),
            // What comes next shall not wait for the same one.
            Err(_) => self.pass_over(&address),
        }
    }

    /// Takes over the members that one of them named: after the one that answered, before whom the context names.
    pub(crate) fn take(&self, voters: impl IntoIterator<Item = pb::Voter>) {
        {
            let mut members = self.members();
            let answered = members.addresses.first().cloned();
            let named = voters.into_iter().map(|voter| voter.address);
            members.addresses = merged(answered.into_iter().chain(named), &members.configured);
            let Members { addresses, channels, .. } = &mut *members;
            channels.retain(|address, _| addresses.contains(address));
        }
        self.answered();
    }

    /// Remembers the addresses, when others than before.
    fn answered(&self) {
        let Some(file) = &self.file else { return };
        let mut members = self.members();
        if members.addresses != members.remembered {
            members.remembered = members.addresses.clone();
            file.remember(&members.addresses);
        }
    }

    /// Calls another one next, unless somebody else has seen to that.
    fn pass_over(&self, address: &str) {
        let mut members = self.members();
        if members.addresses.first().is_some_and(|first| first == address) {
            members.addresses.rotate_left(1);
        }
    }

    fn next(&self, action: &str) -> Result<(String, Channel), Error> {
        let mut members = self.members();
        let none = || Error::dial(action, DialError::Address(String::new()));
        let address = members.addresses.first().cloned().ok_or_else(none)?;
        if let Some(channel) = members.channels.get(&address) {
            return Ok((address, channel.clone()));
        }
        let channel = self.dialer.channel(&address, ExpectedServer::AnyRegistry);
        let channel = channel.map_err(|error| Error::dial(action, error))?;
        members.channels.insert(address.clone(), channel.clone());
        Ok((address, channel))
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
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
