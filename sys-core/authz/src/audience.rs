//! Who may call what, by kind of caller alone: one pure decision over a method's declared audience and the caller's proven kind.
//!
//! Invariants: no input but the arguments (no clock, no I/O, no state), the answer is never a `bool`, and whatever a rule does
//! not name is denied. Bans and expiry are facts of a connection and are checked before this.

use holdfast_domain::{Audience, Reason, Rule, SpiffeSubject};

/// What a connection proved about its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallerKind {
    /// No identity.
    Anonymous,
    /// A client with its own key.
    Client,
    /// A shard node.
    Node,
    /// A registry voter or learner.
    Registry,
    /// An operator.
    Operator,
    /// A module server. What it may do besides is the grants' to say.
    Module,
}

impl CallerKind {
    /// All of them, for matrices.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::Client, Self::Node, Self::Registry, Self::Operator, Self::Module];

    /// The name in logs and audit events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Client => "client",
            Self::Node => "node",
            Self::Registry => "registry",
            Self::Operator => "operator",
            Self::Module => "module",
        }
    }

    /// The audience that rules name this caller by, apart from everyone.
    const fn audience(self) -> Option<Audience> {
        match self {
            Self::Anonymous => None,
            Self::Client => Some(Audience::Client),
            Self::Node => Some(Audience::Node),
            Self::Registry => Some(Audience::Registry),
            Self::Operator => Some(Audience::Operator),
            Self::Module => Some(Audience::Module),
        }
    }
}

impl From<&SpiffeSubject> for CallerKind {
    fn from(subject: &SpiffeSubject) -> Self {
        match subject {
            SpiffeSubject::Registry(_) => Self::Registry,
            SpiffeSubject::Node(_) => Self::Node,
            SpiffeSubject::Module { .. } => Self::Module,
            SpiffeSubject::Operator(_) => Self::Operator,
            SpiffeSubject::Client(_) => Self::Client,
        }
    }
}

/// Why a call is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DenyReason {
    /// An identity is needed and there is none: presenting one may help.
    #[error("an identity is needed")]
    Unauthenticated,
    /// The identity is not of a kind that the rule names.
    #[error("not permitted")]
    NotPermitted,
}

impl From<DenyReason> for Reason {
    fn from(reason: DenyReason) -> Self {
        match reason {
            DenyReason::Unauthenticated => Self::Unauthenticated,
            DenyReason::NotPermitted => Self::NotPermitted,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// The rule names the caller.
    Allow,
    /// It does not.
    Deny(DenyReason),
}

/// Decides whether a caller may call a method with this rule.
pub fn decide(rule: &Rule, caller: &CallerKind) -> Decision {
    let everyone = rule.names(Audience::Public);
    let named = caller.audience().is_some_and(|audience| rule.names(audience));
    match caller {
        _ if everyone || named => Decision::Allow,
        CallerKind::Anonymous => Decision::Deny(DenyReason::Unauthenticated),
        CallerKind::Client
        | CallerKind::Node
        | CallerKind::Registry
        | CallerKind::Operator
        | CallerKind::Module => Decision::Deny(DenyReason::NotPermitted),
    }
}

#[cfg(test)]
mod tests;
