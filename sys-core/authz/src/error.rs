//! What can be wrong with policies, found when a server starts; and the one thing that can be wrong with a question.

use std::fmt;

/// Where a policy says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The policy's `@id`, or its number.
    pub policy: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, line, column } = self;
        write!(f, "policy `{policy}` ({line}:{column})")
    }
}

/// Why a module's policies are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// More text than [`crate::MAX_POLICY_BYTES`].
    #[error("{bytes} bytes of policies are too many")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// More policies than [`crate::MAX_POLICIES`].
    #[error("{policies} policies are too many")]
    TooMany {
        /// Their count.
        policies: usize,
    },
    /// A declared name that policies could not say.
    #[error("{what} `{name}` is not a word that policies can say")]
    Name {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two things of one name.
    #[error("{what} `{name}` is declared twice")]
    Twice {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A method checks an action on an entity that is not declared.
    #[error("action `{action}` is on the unknown entity `{entity}`")]
    UnknownEntity {
        /// The action.
        action: String,
        /// The entity.
        entity: String,
    },
    /// The schema made from the declaration is refused.
    #[error("schema: {0}")]
    Schema(String),
    /// Not policy text.
    #[error("{line}:{column}: {message}")]
    Parse {
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A policy with slots.
    #[error("policy `{0}` is a template")]
    Template(String),
    /// An unknown entity, field or action, or a type that does not fit; warnings of the validator included.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// A policy that names an account, a row or a role that does not exist.
    #[error("{place}: policies cannot name {literal}")]
    Literal {
        /// Where.
        place: Place,
        /// What it names.
        literal: String,
    },
    /// A condition that no row filter can say.
    #[error("{place}: {what}")]
    Untranslatable {
        /// Where.
        place: Place,
        /// What cannot be said.
        what: String,
    },
    /// A sample question has no answer.
    #[error("{entity}.{action}")]
    Sample {
        /// The action.
        action: String,
        /// The entity.
        entity: String,
        /// Why.
        #[source]
        source: ScopeError,
    },
}

/// Why there is no scope. Nothing may be shown then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// No method declares this action on this entity.
    #[error("no action `{entity}.{action}`")]
    UnknownAction {
        /// The action.
        action: String,
        /// The entity.
        entity: String,
    },
    /// A policy leaves a condition that no row filter can say.
    #[error("policy `{policy}`: {what}")]
    Untranslatable {
        /// The policy.
        policy: String,
        /// What cannot be said.
        what: String,
    },
    /// The policy engine refuses the question.
    #[error("policy engine: {0}")]
    Engine(String),
}
