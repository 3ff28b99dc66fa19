//! Who may call a method, as declared in its `.proto`.

use std::{collections::BTreeSet, fmt};

/// A kind of caller, proven by the identity of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Anyone, without an identity.
    Public,
    /// A client with its own key.
    Client,
    /// A shard node.
    Node,
    /// A registry voter or learner.
    Registry,
    /// An operator.
    Operator,
    /// A module server, at the socket that is its own.
    Module,
}

impl Audience {
    /// All of them, for matrices.
    pub const ALL: [Self; 6] =
        [Self::Public, Self::Client, Self::Node, Self::Registry, Self::Operator, Self::Module];

    /// The name in rules, logs and audit events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Client => "client",
            Self::Node => "node",
            Self::Registry => "registry",
            Self::Operator => "operator",
            Self::Module => "module",
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The callers a method admits; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(BTreeSet<Audience>);

impl Rule {
    /// A rule, or `None` when it would admit nobody: an undeclared rule is an error, not a refusal.
    pub fn new(audiences: impl IntoIterator<Item = Audience>) -> Option<Self> {
        let set: BTreeSet<_> = audiences.into_iter().collect();
        (!set.is_empty()).then_some(Self(set))
    }

    /// A rule for one kind of caller.
    pub fn only(audience: Audience) -> Self {
        Self([audience].into())
    }

    /// Whether this kind of caller is named. `Public` names everyone.
    pub fn names(&self, audience: Audience) -> bool {
        self.0.contains(&audience) || self.0.contains(&Audience::Public)
    }

    /// The audiences in order.
    pub fn audiences(&self) -> impl Iterator<Item = Audience> + '_ {
        self.0.iter().copied()
    }
}
