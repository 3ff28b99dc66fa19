//! What can go wrong for users of the SDK: what was attempted, why it failed, and what helps.

use std::{error::Error as StdError, time::Duration};

use holdfast_certs::{DialError, IdentityError, VerifyError};
use holdfast_domain::{NodeId, Reason, ShardMap, Signed, causes, codec::CodecError};
use holdfast_keys::{EntropyError, secret_file::SecretFileError, sign::PrivateKeyError};
use holdfast_proto::error_details::{self, Details};
use tonic::{Code, Status};

use crate::{
    config::ConfigError, credential::CredentialError, files::FileError, map::MapRefused,
    storage::StorageError, trust::TrustError,
};

/// A failure of the SDK.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cluster refused, for a stable reason.
    #[error("cannot {action}: {} [{}]", reason.text(), reason.code())]
    Refused {
        /// What was attempted.
        action: String,
        /// Why.
        reason: Reason,
    },
    /// Nobody answered for long enough.
    #[error("cannot {action}: no usable answer within {} s: {last}", waited.as_secs())]
    Unavailable {
        /// What was attempted.
        action: String,
        /// How long it was tried.
        waited: Duration,
        /// How the last try ended.
        last: String,
    },
    /// The connection broke after the request was sent: it may have taken effect.
    #[error("cannot tell whether this took effect: {action}: {last}")]
    Unknown {
        /// What was attempted.
        action: String,
        /// How it ended.
        last: String,
    },
    /// A server that could not prove who it is.
    #[error("cannot {action}: refused the server at {address}{}", .source.reason().map(|reason| format!(" [{reason}]")).unwrap_or_default())]
    Untrusted {
        /// What was attempted.
        action: String,
        /// The server's address.
        address: String,
        /// Why.
        #[source]
        source: Box<VerifyError>,
    },
    /// A failure without a reason that this version knows.
    #[error("cannot {action}: the server answered {code:?}: {message}")]
    Server {
        /// What was attempted.
        action: String,
        /// The gRPC code.
        code: Code,
        /// The server's text.
        message: String,
    },
    /// A reply that cannot be.
    #[error("cannot {action}: the server's reply has no valid {what}")]
    Reply {
        /// What was attempted.
        action: String,
        /// The part of the reply.
        what: &'static str,
    },
    /// No connection could be set up at all.
    #[error("cannot {action}")]
    Dial {
        /// What was attempted.
        action: String,
        /// Why.
        #[source]
        source: Box<DialError>,
    },
    /// A shard map that is not believed.
    #[error("refused a shard map")]
    Map(#[from] MapRefused),
    /// A root or genesis record that is not believed.
    #[error("refused the cluster's trust bundle")]
    Trust(#[from] TrustError),
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A credential directory.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A local file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A secret file.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// Names and contents of files.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key that could not be made or read.
    #[error("the private key")]
    Key(#[from] PrivateKeyError),
    /// A certificate that does not fit its key.
    #[error("the certificate chain")]
    Identity(#[from] IdentityError),
    /// Signing failed.
    #[error("cannot sign")]
    Sign(#[source] Box<dyn StdError + Send + Sync>),
    /// A value without an encoding.
    #[error("cannot encode the request")]
    Encode(#[from] CodecError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What kind of failure an [`Error`] is, for exit codes and for callers that decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Refused by the cluster.
    Refused(Reason),
    /// Nobody answered; trying later may help.
    Unavailable,
    /// Anything else.
    Failed,
}

impl Error {
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { reason, .. } => ErrorKind::Refused(*reason),
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Dial { source, .. } if matches!(**source, DialError::Io { .. } | DialError::Timeout(_)) => {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Failed,
        }
    }

    pub(crate) fn signing(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Sign(Box::new(error))
    }

    pub(crate) fn dial(action: &str, error: DialError) -> Self {
        let action = action.to_owned();
        match error {
            DialError::Server { address, source } => {
                Self::Untrusted { action, address, source: source.into() }
            }
            source => Self::Dial { action, source: source.into() },
        }
    }
}

/// A failed call, understood.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Refused for a reason, maybe with a newer map, maybe with who leads.
    Refused { reason: Reason, map: Option<Signed<ShardMap>>, leader: Option<NodeId> },
    /// The server is not the one that was dialed.
    Untrusted { address: String, source: Box<VerifyError> },
    /// No answer. `sent` when the request may have reached the server.
    Silent { last: String, sent: bool },
    /// Something else.
    Server { code: Code, message: String },
}

impl Answer {
    pub(crate) fn of(status: &Status) -> Self {
        if let Some(answer) = Self::of_details(status) {
            return answer;
        }
        if let Some(dial) = dial_error(status) {
            return match dial {
                DialError::Server { address, source } => {
                    Self::Untrusted { address: address.clone(), source: source.clone().into() }
                }
                other => Self::Silent { last: causes(other), sent: false },
            };
        }
        let transport = status.source().is_some();
        match status.code() {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => {
                Self::Silent { last: silence(status), sent: true }
            }
            Code::Unknown | Code::Internal if transport => Self::Silent { last: silence(status), sent: true },
            code => Self::Server { code, message: status.message().to_owned() },
        }
    }

    fn of_details(status: &Status) -> Option<Self> {
        let details = error_details::decode(status.details())?;
        let reason = details.reason.parse().ok()?;
        let Details { reason: _, map_epoch: _, map, leader } = details;
        Some(Self::Refused { reason, map, leader })
    }

    /// As if a server had refused.
    pub(crate) const fn refused(reason: Reason) -> Self {
        Self::Refused { reason, map: None, leader: None }
    }

    pub(crate) fn into_error(self, action: &str, waited: Duration) -> Error {
        let action = action.to_owned();
        match self {
            // A conflict that does not pass is an answer.
            Self::Refused { reason, .. } if is_passing(reason) && reason != Reason::Conflict => {
                let last = format!("{} [{}]", reason.text(), reason.code());
                Error::Unavailable { action, waited, last }
            }
            Self::Refused { reason, .. } => Error::Refused { action, reason },
            Self::Untrusted { address, source } => Error::Untrusted { action, address, source },
            Self::Silent { last, .. } => Error::Unavailable { action, waited, last },
            Self::Server { code, message } => Error::Server { action, code, message },
        }
    }
}

/// Reasons that time cures.
pub(crate) fn is_passing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NotLeader
            | Reason::NoQuorum
            | Reason::NotReady
            | Reason::Overloaded
            | Reason::RateLimited
            | Reason::Conflict
    )
}

/// Our own refusal or failure to connect, from below the transport's layers.
fn dial_error(status: &Status) -> Option<&DialError> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(dial) = error.downcast_ref() {
            return Some(dial);
        }
        next = error.source();
    }
    None
}

fn silence(status: &Status) -> String {
    status.source().map_or_else(|| status.message().to_owned(), causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: NodeId = NodeId::new([3; 16]);

    fn refused(reason: &str) -> Status {
        let details = Details { reason: reason.into(), leader: Some(LEADER), ..Details::default() };
        let bytes = error_details::encode(Code::FailedPrecondition, "text", details);
        Status::with_details(Code::FailedPrecondition, "text", bytes)
    }

    #[test]
    fn a_refusal_keeps_its_reason_and_the_leader() {
        let Answer::Refused { reason, map, leader } = Answer::of(&refused("not_leader")) else { panic!() };
        assert_eq!((reason, map, leader), (Reason::NotLeader, None, Some(LEADER)));
    }

    #[test]
    fn a_reason_of_a_newer_version_is_still_an_answer() {
        assert!(matches!(Answer::of(&refused("tea_time")), Answer::Server { .. }));
    }

    #[test]
    fn silence_and_passing_reasons_are_unavailable_and_others_are_refusals() {
        let silent = Answer::of(&Status::unavailable("nobody home"));
        assert_eq!(silent.into_error("x", Duration::ZERO).kind(), ErrorKind::Unavailable);
        let passing = Answer::of(&refused("no_quorum"));
        assert_eq!(passing.into_error("x", Duration::ZERO).kind(), ErrorKind::Unavailable);
        let refusal = Answer::of(&refused("banned")).into_error("list files", Duration::ZERO);
        assert_eq!(refusal.kind(), ErrorKind::Refused(Reason::Banned));
        assert!(refusal.to_string().contains("list files") && refusal.to_string().contains("[banned]"));
    }
}
