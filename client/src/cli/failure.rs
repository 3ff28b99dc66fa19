//! How a command fails: an exit code that scripts can rely on, and text that says what, why and what helps.

use std::{error::Error as StdError, io, path::PathBuf};

use holdfast_domain::Reason;
use serde_json::json;

use super::output::Format;
use crate::{
    Error, ErrorKind, StorageError, TrustError,
    config::{ConfigError, ContextKind},
    credential::CredentialError,
};

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The command line makes no sense, beyond what the parser sees.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Sdk(#[from] Error),
    /// Some of many files failed; each was named as it happened.
    #[error("{failed} of {all} files failed")]
    Partly { failed: u64, all: u64 },
    /// A file of the user's that is in the way.
    #[error("{} exists already: choose another name or remove it", .0.display())]
    Exists(PathBuf),
    /// A one-time secret's file holds something else.
    #[error("{} cannot be used", path.display())]
    OneTime { path: PathBuf, source: holdfast_keys::one_time::OneTimeError },
    /// It took too long to become true.
    #[error("{0}")]
    NotYet(String),
    /// Somebody gave it up, or it ended otherwise: waiting longer is in vain.
    #[error("{0}")]
    Ended(String),
    /// Standard output is gone: whoever read it has seen enough.
    #[error("standard output was closed")]
    Closed,
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// A defect of the build: the tests read the same bytes.
    #[error("the rules that this program was built with cannot be read")]
    Rules(#[from] holdfast_proto::declared::DeclareError),
    #[error("cannot start")]
    Start(#[source] io::Error),
}

/// Exit codes, part of the command line's contract.
pub(super) mod exit {
    pub(in crate::cli) const OK: u8 = 0;
    pub(in crate::cli) const FAILED: u8 = 1;
    pub(in crate::cli) const USAGE: u8 = 2;
    pub(in crate::cli) const REFUSED: u8 = 3;
    pub(in crate::cli) const UNAVAILABLE: u8 = 4;
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => exit::OK,
            Self::Usage(_) => exit::USAGE,
            Self::Sdk(Error::Config(
                ConfigError::NoContext { .. }
                | ConfigError::NoSuchContext { .. }
                | ConfigError::Ambiguous { .. },
            )) => exit::USAGE,
            Self::NotYet(_) => exit::UNAVAILABLE,
            Self::Sdk(error) => match error.kind() {
                ErrorKind::Refused(_) => exit::REFUSED,
                ErrorKind::Unavailable => exit::UNAVAILABLE,
                ErrorKind::Failed => exit::FAILED,
            },
            _ => exit::FAILED,
        }
    }

    /// The text for standard error.
    pub(super) fn render(&self, format: Format) -> String {
        let causes = chain(self);
        let hint = self.hint();
        match format {
            Format::Human => {
                let mut text = format!("error: {self}\n");
                causes.iter().for_each(|cause| text.push_str(&format!("  because {cause}\n")));
                hint.iter().for_each(|hint| text.push_str(&format!("  try: {hint}\n")));
                text
            }
            Format::Json => {
                let reason = self.reason().map(Reason::code);
                let code = self.exit_code();
                let error = json!({
                    "message": self.to_string(), "causes": causes, "reason": reason, "hint": hint, "exit_code": code,
                });
                format!("{}\n", json!({ "error": error }))
            }
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Sdk(Error::Untrusted { source, .. }) => source.reason(),
            Self::Sdk(error) => match error.kind() {
                ErrorKind::Refused(reason) => Some(reason),
                _ => None,
            },
            _ => None,
        }
    }

    /// The way out, where there is a usual one.
    fn hint(&self) -> Option<&'static str> {
        if let Some(hint) = self.reason().and_then(hint_for) {
            return Some(hint);
        }
        let Self::Sdk(error) = self else { return None };
        match error {
            Error::Config(ConfigError::NoContext { kind: ContextKind::Client, .. }) => {
                Some("holdfast client init --registry HOST:PORT --root-hash HASH --invite-file FILE")
            }
            Error::Config(ConfigError::NoContext { kind: ContextKind::Operator, .. }) => {
                Some("holdfast operator use DIR, with the directory that the cluster's initialisation wrote")
            }
            Error::Config(ConfigError::Syntax { .. }) => {
                Some("correct or remove that line; `holdfast context list` shows what was understood")
            }
            Error::Unavailable { .. } | Error::Dial { .. } => Some(
                "check the registries' addresses with `holdfast context list`; a longer --timeout waits longer",
            ),
            Error::Unknown { .. } => Some("look whether it happened before you repeat it"),
            Error::Trust(TrustError::Pin { .. }) | Error::Untrusted { .. } => Some(
                "check that the address and the root hash are of the same cluster; if they are, somebody is in between",
            ),
            Error::Credential(CredentialError::Exists { .. }) => Some(
                "this client is registered already: see `holdfast client show`, or choose another --context",
            ),
            Error::Storage(StorageError::Io { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                Some("free some space on the disk")
            }
            _ => None,
        }
    }
}

fn hint_for(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::IdentityExpired | Reason::Unauthenticated => {
            "renew the certificate: `holdfast client renew` or `holdfast operator renew`"
        }
        Reason::QuotaExceeded => {
            "remove files, or ask an operator for a larger quota; see `holdfast files usage`"
        }
        Reason::InviteUnknown => "ask an operator for a new invite: each works once, for a while",
        Reason::NotFound => {
            "list what there is: `holdfast files ls`, `holdfast project list ORG`, `holdfast member list ORG`"
        }
        Reason::TokenUnknown => {
            "ask an operator for a new set-up token (`holdfast operator setup-token`): each works once, for a while"
        }
        Reason::LastOne => {
            "another one must be there first: `holdfast client device add`, or `holdfast account claim` by another account"
        }
        Reason::NotEmpty => {
            "remove what it holds first: `holdfast project delete ORG PROJECT`, `holdfast member remove ORG ACCOUNT`"
        }
        Reason::NoQuorum | Reason::NotLeader => {
            "a majority of the group's replicas must be up: `holdfast shard list` and `holdfast node list` show which are missing"
        }
        Reason::Conflict => {
            "something else is under way, or it is so already: `holdfast shard list` shows what; `holdfast shard cancel GROUP` gives a move up"
        }
        Reason::Banned => {
            "ask an operator (`holdfast node unban` lifts a ban) or, if the account was disabled, an admin (`holdfast account enable`)"
        }
        Reason::AdmissionUnsigned => {
            "more operators must sign: use --sign-only FILE, then `holdfast operator cosign FILE` and `holdfast operator submit FILE`"
        }
        Reason::AdmissionReplayed => {
            "sign a new request: this one was applied already or is older than ten minutes"
        }
        Reason::ClockSkew => "set the clocks right, this machine's and the servers'",
        Reason::PcrSelection => "give a value for each PCR that the cluster binds keys to, ascending",
        _ => return None,
    })
}

/// What lies below an error, outermost first, without what the line above says already.
fn chain(error: &dyn StdError) -> Vec<String> {
    let mut texts = Vec::new();
    let mut above = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if text != above {
            texts.push(text.clone());
        }
        above = text;
        next = cause.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: Reason) -> Failure {
        Error::Refused { action: "get x".into(), reason }.into()
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let unavailable =
            Error::Unavailable { action: "x".into(), waited: std::time::Duration::ZERO, last: "y".into() };
        for (failure, code) in [
            (Failure::Closed, 0),
            (Failure::Partly { failed: 1, all: 2 }, 1),
            (Failure::Usage("x".into()), 2),
            (refused(Reason::NotFound), 3),
            (unavailable.into(), 4),
        ] {
            assert_eq!(failure.exit_code(), code);
        }
    }

    #[test]
    fn a_refusal_prints_its_reason_code_and_the_way_out() {
        let text = refused(Reason::QuotaExceeded).render(Format::Human);
        assert!(text.contains("[quota_exceeded]") && text.contains("try: "), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&refused(Reason::QuotaExceeded).render(Format::Json)).unwrap();
        assert_eq!(json["error"]["reason"], "quota_exceeded");
        assert_eq!(json["error"]["exit_code"], 3);
    }
}
