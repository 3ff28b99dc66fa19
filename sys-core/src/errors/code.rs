//! The gRPC code of each reason.

use holdfast_domain::Reason;
use tonic::Code;

/// The code that a reason has on the wire. Clients decide by the reason; the code is for proxies and retry policies.
pub const fn grpc_code(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::Malformed | R::CertificateRequest => Code::InvalidArgument,
        R::Unauthenticated
        | R::IdentityExpired
        | R::SessionUnknown
        | R::SessionReplayed
        | R::SessionSignature => Code::Unauthenticated,
        R::NotPermitted | R::GrantUnknown | R::Banned | R::WrongCluster | R::WrongRole | R::NotAMember => {
            Code::PermissionDenied
        }
        R::SignInRefused => Code::Unauthenticated,
        R::CodeUnknown => Code::NotFound,
        R::MailUnsent => Code::Unavailable,
        R::EkBanned | R::EkNotAdmitted | R::ProofOfPossession => Code::PermissionDenied,
        R::NotFound | R::UploadUnknown | R::ChallengeUnknown | R::TicketUnknown | R::InviteUnknown => {
            Code::NotFound
        }
        R::AccountTaken | R::AlreadyExists => Code::AlreadyExists,
        R::Conflict => Code::Aborted,
        R::HashMismatch => Code::DataLoss,
        R::RateLimited | R::QuotaExceeded | R::TooMany | R::DiskFull | R::Overloaded => {
            Code::ResourceExhausted
        }
        R::NoQuorum | R::NotReady | R::NotLeader => Code::Unavailable,
        R::UnknownMethod => Code::Unimplemented,
        R::Internal => Code::Internal,
        // Evidence, keys, maps: the request was understood, the state of caller or cluster forbids it.
        _ => Code::FailedPrecondition,
    }
}
