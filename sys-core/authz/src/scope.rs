//! The scope of a question: the rows that an action may touch. An algebra with constants, so that what is always or never true
//! disappears from filters.

use holdfast_domain::Fields;

use crate::filter::RowFilter;

/// The rows that an action may touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Scope {
    /// None, whatever they hold.
    Never,
    /// All, whatever they hold.
    Always,
    /// Those that pass.
    Rows(RowFilter),
}

impl Scope {
    /// Whether the action may touch this row.
    pub fn admits(&self, row: &Fields) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Rows(filter) => filter.admits(row),
        }
    }

    /// Rows of each scope; all rows, if there are no scopes.
    pub(crate) fn all(scopes: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        for scope in scopes {
            match scope {
                Self::Never => return Self::Never,
                Self::Always => {}
                Self::Rows(RowFilter::All(inner)) => parts.extend(inner),
                Self::Rows(filter) => parts.push(filter),
            }
        }
        Self::joined(parts, Self::Always, RowFilter::All)
    }

    /// Rows of any of the scopes; no rows, if there are no scopes.
    pub(crate) fn any(scopes: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        for scope in scopes {
            match scope {
                Self::Always => return Self::Always,
                Self::Never => {}
                Self::Rows(RowFilter::Any(inner)) => parts.extend(inner),
                Self::Rows(filter) => parts.push(filter),
            }
        }
        Self::joined(parts, Self::Never, RowFilter::Any)
    }

    /// The other rows.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Never => Self::Always,
            Self::Always => Self::Never,
            Self::Rows(RowFilter::Not(filter)) => Self::Rows(*filter),
            Self::Rows(filter) => Self::Rows(RowFilter::Not(Box::new(filter))),
        }
    }

    fn joined(mut parts: Vec<RowFilter>, none: Self, many: fn(Vec<RowFilter>) -> RowFilter) -> Self {
        parts.sort();
        parts.dedup();
        match (parts.pop(), parts.is_empty()) {
            (None, _) => none,
            (Some(only), true) => Self::Rows(only),
            (Some(last), false) => {
                parts.push(last);
                Self::Rows(many(parts))
            }
        }
    }
}

/// A scope, and the policies that it follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The rows.
    pub scope: Scope,
    /// Their ids, sorted: of some rows or all of them those that permit them and those that keep others out; of no rows those that
    /// forbid all, none where nothing is permitted in the first place.
    pub policies: Vec<String>,
}

impl Ruling {
    /// Of policies that permit and forbid rows.
    pub(crate) fn of(mut permitted: Vec<(String, Scope)>, mut forbidden: Vec<(String, Scope)>) -> Self {
        permitted.retain(|(_, rows)| *rows != Scope::Never);
        forbidden.retain(|(_, rows)| *rows != Scope::Never);
        let union = |of: &[(String, Scope)]| Scope::any(of.iter().map(|(_, rows)| rows.clone()));
        let scope = Scope::all([union(&permitted), union(&forbidden).negated()]);
        match scope {
            Scope::Never => permitted.clear(),
            Scope::Always | Scope::Rows(_) => {}
        }
        let mut policies: Vec<_> = permitted.into_iter().chain(forbidden).map(|(id, _)| id).collect();
        policies.sort_unstable();
        Self { scope, policies }
    }
}

impl From<bool> for Scope {
    fn from(always: bool) -> Self {
        if always { Self::Always } else { Self::Never }
    }
}
