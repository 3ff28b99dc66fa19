//! The attested join and its renewal, from the machine's side (the messages are in `enrolment.proto`).

mod exchange;
mod grant;

use std::time::Duration;

use holdfast_certs::{DialError, Dialer, csr};
use holdfast_domain::{NodeId, NodeRole, PendingId, Reason, RootHash};
use holdfast_keys::{Secret32, SoftSigner};
use holdfast_tpm_node::TpmError;
use holdfast_tpm_verify::Denial;
use tonic::Status;

use crate::machine::Machine;

pub use grant::{GrantError, Granted};

/// Largest difference of clocks between a machine and the registry that a join tolerates.
pub const MAX_CLOCK_DIFFERENCE_MS: u64 = 30_000;

/// What a machine asks to be.
pub struct JoinRequest<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Its listener key.
    pub listener: &'a SoftSigner,
    /// Its role.
    pub role: NodeRole,
    /// Where others will reach it, `host:port`.
    pub advertise: &'a str,
    /// The id that it believes to have.
    pub node: Option<NodeId>,
    /// A one-time ticket.
    pub ticket: Option<&'a Secret32>,
    /// Enter the approval queue if nobody admitted the machine yet.
    pub queue: bool,
}

/// How a join ended that nobody refused.
pub enum Joined {
    /// With everything that a member needs.
    Granted(Box<Granted>),
    /// In the approval queue.
    Pending {
        /// What operators approve.
        id: PendingId,
        /// When to ask again.
        retry_after: Duration,
    },
}

/// Why a machine did not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The registry said no.
    #[error("{}: {}{}", .0.code(), .0.text(), way_out(*.0))]
    Denied(Reason),
    /// The registry could not be reached or is another cluster's.
    #[error("cannot reach the registry")]
    Dial(#[from] DialError),
    /// The registry's certificate is not valid now, by this machine's clock.
    #[error(
        "clock_skew: by this machine's clock the certificate of the registry at {address} is over or not valid yet: \
         set the clock that is wrong (for example with NTP) and join again"
    )]
    OutOfTime {
        /// Which member.
        address: String,
        /// What is wrong with the certificate.
        #[source]
        source: DialError,
    },
    /// No address at all.
    #[error("no registry address: give --registry HOST:PORT")]
    NoAddress,
    /// The stream broke.
    #[error("the registry at {address} ended the join: {status}")]
    Stream {
        /// Which member.
        address: String,
        /// Its answer.
        status: Box<Status>,
    },
    /// A message is missing or malformed.
    #[error("the registry's answer: {0}")]
    Protocol(&'static str),
    /// The grant does not verify.
    #[error("the registry's grant")]
    Grant(#[from] GrantError),
    /// The clocks differ.
    #[error("clock_skew: this machine's clock is {} s {} the registry's: set it (for example with NTP) and join again", difference_ms / 1000, if *behind { "behind" } else { "ahead of" })]
    Clock {
        /// By how much.
        difference_ms: u64,
        /// In which direction.
        behind: bool,
    },
    /// The TPM.
    #[error("the TPM")]
    Tpm(#[from] TpmError),
    /// Our own keys are not what the protocol demands.
    #[error("this machine's own keys are refused: {0}")]
    OwnKeys(Denial),
    /// No certificate request.
    #[error("cannot make a certificate request")]
    Request(#[from] csr::CreateError),
}

impl JoinError {
    /// The stable reason, if the registry gave one.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Denied(reason) => Some(*reason),
            Self::Clock { .. } | Self::OutOfTime { .. } => Some(Reason::ClockSkew),
            _ => None,
        }
    }

    /// Whether another member may answer better.
    fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Stream { .. } | Self::OutOfTime { .. })
            || matches!(self, Self::Dial(DialError::Io { .. } | DialError::Timeout(_)))
            || matches!(self, Self::Denied(Reason::NotReady | Reason::NoQuorum))
    }
}

/// What a person can do about a refusal.
fn way_out(reason: Reason) -> &'static str {
    match reason {
        Reason::EkNotAdmitted => {
            " Ask an operator to run `holdfast node allow EK --role ROLE`; `ek` of this program prints the EK."
        }
        Reason::PcrNotApproved => {
            " After a planned update an operator runs `holdfast pcr approve`; otherwise the boot chain was changed."
        }
        Reason::TicketUsed | Reason::TicketUnknown => " Ask an operator for another: `holdfast ticket new`.",
        _ => "",
    }
}

/// Joins through the first member that can answer; `root` is all that must be known of the cluster.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    registries: &[String],
    root: RootHash,
    request: &JoinRequest<'_>,
) -> Result<Joined, JoinError> {
    let dialer = Dialer::new(root, None);
    exchange::first_answer(registries, &dialer, exchange::Kind::Join, request).await
}

/// Renews over the member's own identity, which `dialer` shows.
///
/// # Errors
/// See [`JoinError`].
pub async fn renew(
    registries: &[String],
    dialer: &Dialer,
    request: &JoinRequest<'_>,
) -> Result<Joined, JoinError> {
    exchange::first_answer(registries, dialer, exchange::Kind::Renew, request).await
}
