//! How a join is refused: a stable code for everyone, the detail for the local log.

use holdfast_domain::Reason;

use crate::wire::Malformed;

/// A refusal. `reason` may go on the wire; `detail` says what exactly failed and stays in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Denial {
    /// The stable code.
    pub reason: Reason,
    /// For whoever reads the log.
    pub detail: String,
}

impl Denial {
    pub(crate) fn new(reason: Reason, detail: impl std::fmt::Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }

    /// A public area that does not parse: a choice we do not take is a fault of the key, anything else of the message.
    pub(crate) fn of_public(key: Reason, fault: Malformed) -> Self {
        match fault {
            Malformed::Unsupported(_) => Self::new(key, fault),
            _ => Self::new(Reason::Malformed, fault),
        }
    }
}
