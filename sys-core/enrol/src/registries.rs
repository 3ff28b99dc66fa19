//! Calls to whichever registry member answers.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_certs::{DialError, Dialer, ExpectedServer};
use holdfast_domain::{Reason, VoterEndpoint};
use holdfast_proto::error_details;
use tonic::{Code, Status, transport::Channel};

/// How long one member may take to answer one call.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Members that are remembered: five voters, their successors, and what an operator typed.
const MAX_MEMBERS: usize = 32;

/// Why no member answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// None is configured.
    #[error("no registry address is known: give --registry HOST:PORT")]
    NoAddress,
    /// An address is none.
    #[error("registry address")]
    Address(#[source] DialError),
    /// None could be reached or was able to answer.
    #[error("no registry answers (tried {tried}): check that a quorum of voters runs and is reachable")]
    Unreachable {
        /// Addresses that were tried.
        tried: String,
        /// The last answer.
        #[source]
        last: Box<Status>,
    },
    /// One answered, and refused.
    #[error(transparent)]
    Refused(Box<Status>),
}

/// The registry's members as one callee. Clones share channels and preference.
#[derive(Clone)]
pub struct Registries {
    dialer: Dialer,
    members: Arc<Mutex<Members>>,
}

struct Members {
    /// In the order of preference: whoever answered last comes first.
    addresses: Vec<String>,
    channels: BTreeMap<String, Channel>,
}

impl Registries {
    /// Members by address, to be dialed with this identity and trust.
    pub fn new(addresses: Vec<String>, dialer: Dialer) -> Self {
        let members = Members { addresses, channels: BTreeMap::new() };
        Self { dialer, members: Arc::new(Mutex::new(members)) }
    }

    /// Takes voters over from a watch: known addresses that are no voter's go last.
    pub fn learn(&self, voters: &[VoterEndpoint]) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        for voter in voters {
            if !members.addresses.contains(&voter.address) {
                members.addresses.push(voter.address.clone());
            }
        }
        members.addresses.sort_by_key(|address| !voters.iter().any(|voter| voter.address == *address));
        members.addresses.truncate(MAX_MEMBERS);
        let Members { addresses, channels } = &mut *members;
        channels.retain(|address, _| addresses.contains(address));
    }

    /// All known addresses, most promising first.
    pub fn addresses(&self) -> Vec<String> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).addresses.clone()
    }

    /// A channel to one member.
    ///
    /// # Errors
    /// [`CallError::Address`].
    pub fn channel(&self, address: &str) -> Result<Channel, CallError> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = members.channels.get(address) {
            return Ok(channel.clone());
        }
        let channel =
            self.dialer.channel(address, ExpectedServer::AnyRegistry).map_err(CallError::Address)?;
        members.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Makes a call at one member after the other until one answers. `call` must be safe to repeat.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T, F, R>(&self, call: F) -> Result<T, CallError>
    where
        F: Fn(Channel) -> R,
        R: Future<Output = Result<T, Status>>,
    {
        let addresses = self.addresses();
        let mut last = None;
        for address in &addresses {
            let answer = tokio::time::timeout(TRY_TIMEOUT, call(self.channel(address)?)).await;
            match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
                Ok(answer) => {
                    self.prefer(address);
                    return Ok(answer);
                }
                Err(status) if is_elsewhere(&status) => last = Some(status),
                Err(status) => return Err(CallError::Refused(Box::new(status))),
            }
        }
        let last = Box::new(last.ok_or(CallError::NoAddress)?);
        if says_clock_skew(&last) {
            return Err(CallError::Refused(last));
        }
        Err(CallError::Unreachable { tried: addresses.join(", "), last })
    }

    fn prefer(&self, address: &str) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = members.addresses.iter().position(|known| known == address) {
            let address = members.addresses.remove(at);
            members.addresses.insert(0, address);
        }
    }
}

/// Whether another member may answer better.
fn is_elsewhere(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled)
        || says_clock_skew(status)
}

/// A member whose own clock is off issues nothing and decides nothing: the others' may be right.
fn says_clock_skew(status: &Status) -> bool {
    let details = error_details::decode(status.details());
    details.is_some_and(|details| details.reason == Reason::ClockSkew.code())
}
