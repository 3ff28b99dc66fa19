//! Stable reason codes: what a refusal says on the wire, in logs and in audit records.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Defines the codes once: variant, wire code and the text a person reads.
macro_rules! reasons {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why something was refused. Codes are only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $text] $(#[$meta])* $name,)*
        }

        impl Reason {
            /// Every reason, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// One sentence, safe to show to the refused.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl FromStr for Reason {
            type Err = UnknownReason;

            fn from_str(code: &str) -> Result<Self, UnknownReason> {
                match code { $($code => Ok(Self::$name),)* _ => Err(UnknownReason) }
            }
        }
    };
}

/// A code that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason code")]
pub struct UnknownReason;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

reasons! {
    // Join: the endorsement key
    Malformed = "malformed", "A message or structure is malformed or exceeds its limit.";
    EkCertificate = "ek_certificate", "The EK certificate or its chain is not acceptable.";
    EkCertificateKey = "ek_certificate_key", "The EK certificate certifies another key.";
    EkTemplate = "ek_template", "The EK is not of a known EK template.";
    EkNotAdmitted = "ek_not_admitted", "No operator admitted this EK.";
    EkBanned = "ek_banned", "This EK is banned.";
    NodeIdMismatch = "node_id_mismatch", "The node id belongs to another EK.";
    TpmSwapped = "tpm_swapped", "This data folder belongs to another TPM.";
    // Join: the attestation key
    AkAttributes = "ak_attributes", "The AK's attributes or scheme are not the required ones.";
    CredentialProof = "credential_proof", "The proof of credential activation is wrong.";
    QualifiedSigner = "qualified_signer", "The attestation's signer does not fit the claimed hierarchy.";
    // Join: attestations
    AttestationStructure = "attestation_structure", "An attestation has the wrong magic, type or length.";
    AttestationSignature = "attestation_signature", "An attestation's signature is wrong.";
    AttestationFreshness = "attestation_freshness", "An attestation was made for another challenge.";
    TlsKey = "tls_key", "The TLS key is not the certified one or has wrong attributes.";
    CertificateRequest = "certificate_request", "A certificate request is invalid or for another key.";
    SrkKey = "srk_key", "The SRK is not the certified one or has wrong attributes.";
    PcrSelection = "pcr_selection", "The quote covers other PCRs than requested.";
    PcrDigest = "pcr_digest", "The PCR values do not match the quote.";
    PcrUnmeasured = "pcr_unmeasured", "Required PCRs are all zero or all one.";
    PcrNotApproved = "pcr_not_approved", "No operator approved these PCR values for this role.";
    TpmClass = "tpm_class", "This cluster admits hardware TPMs only.";
    ClockReset = "clock_reset", "The TPM's clock went backwards.";
    EventLog = "event_log", "The event log does not replay to the quoted PCRs.";
    // Join: session, tickets, approval
    ChallengeUnknown = "challenge_unknown", "The challenge is unknown, expired or already used.";
    TicketUnknown = "ticket_unknown", "The ticket is unknown or expired.";
    TicketUsed = "ticket_used", "The ticket was used already.";
    PendingApproval = "pending_approval", "The join waits for an operator's approval.";
    AdmissionUnsigned = "admission_unsigned", "The admission lacks the operators' signatures.";
    AdmissionReplayed = "admission_replayed", "The operators' request was applied already or has expired.";
    RoleMismatch = "role_mismatch", "The admission is for another role.";
    RateLimited = "rate_limited", "Too many attempts; try again later.";
    // Identity of connections
    Unauthenticated = "unauthenticated", "This call needs an identity and the connection has none.";
    NotPermitted = "not_permitted", "The caller may not call this method.";
    IdentityExpired = "identity_expired", "The caller's certificate has expired.";
    Banned = "banned", "The caller is banned.";
    WrongCluster = "wrong_cluster", "The peer belongs to another cluster.";
    WrongRole = "wrong_role", "The peer has another role than expected.";
    NotAMember = "not_a_member", "The sender is not a member of the group.";
    // Keys
    WrapSignature = "wrap_signature", "A key wrap is not signed by the node it names.";
    WrapMismatch = "wrap_mismatch", "A key wrap does not open to the key it claims.";
    EvidenceMismatch = "evidence_mismatch", "The newcomer's evidence does not verify.";
    // Shards and clients
    StaleMap = "stale_map", "The caller's shard map is stale; the new descriptor is attached.";
    WrongGroup = "wrong_group", "This node does not serve the home's group.";
    NotLeader = "not_leader", "This replica does not lead its group; the details name the one that does, if it is known.";
    NoQuorum = "no_quorum", "The group has no quorum at present.";
    NotReady = "not_ready", "The server is not ready yet.";
    InviteUnknown = "invite_unknown", "The invite is unknown, used or expired.";
    ProofOfPossession = "proof_of_possession", "The proof of possession of the client's key is wrong.";
    AccountTaken = "account_taken", "The account or client id exists already.";
    QuotaExceeded = "quota_exceeded", "The account's quota would be exceeded.";
    NotFound = "not_found", "No such object, or the caller may not see it.";
    AlreadyExists = "already_exists", "An object of this name exists already.";
    NotEmpty = "not_empty", "It still holds something that must be removed first.";
    TooMany = "too_many", "There can be no more of these.";
    Conflict = "conflict", "The object changed meanwhile; try again.";
    HashMismatch = "hash_mismatch", "The content does not have the promised hash.";
    UploadUnknown = "upload_unknown", "The upload is unknown or has expired.";
    UploadIncomplete = "upload_incomplete", "A part of the upload is missing here; ask how much there is and send the rest.";
    ClockSkew = "clock_skew", "A clock differs too much from the cluster's.";
    DiskFull = "disk_full", "The disk of the server is full.";
    Overloaded = "overloaded", "The server is at its limit; try again later.";
    LastOne = "last_one", "It is the last of its kind, and one must stay.";
    GrantUnknown = "grant_unknown", "The grant is unknown, or the call that it belongs to has ended.";
    TokenUnknown = "token_unknown", "The set-up token is unknown, used or expired.";
    SignInRefused = "sign_in_refused", "The name or the password is wrong, or there were too many tries; try again later.";
    CodeUnknown = "code_unknown", "The code is unknown, used or expired.";
    MailUnsent = "mail_unsent", "The mail could not be handed over; try again later.";
    NotConfigured = "not_configured", "This server is not set up for that.";
    UnknownMethod = "unknown_method", "The server has no such method.";
    Internal = "internal", "Something went wrong on the server; its log says what.";
    // Sessions
    SessionUnknown = "session_unknown", "The session is unknown or has ended; sign in again.";
    SessionReplayed = "session_replayed", "This request was made before.";
    SessionSignature = "session_signature", "The signature of the sign-in or of the request is wrong.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| reason.code().parse() == Ok(*reason)));
    }
}
