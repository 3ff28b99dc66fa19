//! One call of one client on one register.

use std::fmt;

/// A value that is put once in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u64);

/// What was asked, and for a read what was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The register takes this value.
    Put(Value),
    /// The register becomes empty, whether it was or not.
    Delete,
    /// The answer to a read: a value, or that there is none.
    Read(Option<Value>),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was answered at this time: it happened between its begin and this.
    At(u64),
    /// Its answer was lost: it happened after its begin, or never.
    Never,
}

/// One call. Times are a clock that all clients share and that never shows one time twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who called.
    pub client: u32,
    /// The register.
    pub key: String,
    /// What was asked.
    pub action: Action,
    /// When it began.
    pub began: u64,
    /// When it ended.
    pub ended: Ended,
}

impl Operation {
    /// Whether it was answered.
    pub fn is_answered(&self) -> bool {
        matches!(self.ended, Ended::At(_))
    }

    /// Whether it changes the register.
    pub fn is_write(&self) -> bool {
        !matches!(self.action, Action::Read(_))
    }

    /// Whether it was over when the other began.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        matches!(self.ended, Ended::At(ended) if ended < other.began)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, key, action, began, ended } = self;
        write!(out, "[{began}")?;
        match ended {
            Ended::At(ended) => write!(out, " to {ended}]")?,
            Ended::Never => write!(out, ", no answer]")?,
        }
        write!(out, " client {client}: ")?;
        match action {
            Action::Put(Value(value)) => write!(out, "put {key} = {value}"),
            Action::Delete => write!(out, "delete {key}"),
            Action::Read(Some(Value(value))) => write!(out, "read {key}: {value}"),
            Action::Read(None) => write!(out, "read {key}: nothing"),
        }
    }
}
