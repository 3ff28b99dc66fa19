//! Why a query or a change is refused.

use holdfast_domain::Reason;

use super::{KeyError, NotAnEntity};
use crate::{
    errors::Refusal,
    limits::{MAX_COMMIT_OPS, MAX_INDEXED_ELEMENTS, MAX_ROW_BYTES},
};

/// Why a query or a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no such row, or the caller may not see it.
    #[error("no such row of {table}, or it is hidden")]
    NotFound {
        /// The table.
        table: &'static str,
    },
    /// The caller may not make such a row.
    #[error("the new row of {table} is outside of the caller's scope")]
    NotPermitted {
        /// The table.
        table: &'static str,
    },
    /// A row that the caller may see has this name.
    #[error("a row of {table} has this name already")]
    AlreadyExists {
        /// The table.
        table: &'static str,
    },
    /// The row is not what the caller read, or others were faster each time.
    #[error("a row of {table} changed meanwhile")]
    Changed {
        /// The table.
        table: &'static str,
    },
    /// The row's or the question's key is none.
    #[error("key of {table}")]
    Key {
        /// The table.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// The row is larger than a row may be.
    #[error("a row of {table} has {len} bytes, at most {MAX_ROW_BYTES}")]
    RowTooLarge {
        /// The table.
        table: &'static str,
        /// Its size.
        len: usize,
    },
    /// An indexed set has too many elements.
    #[error("{table}.{field} has {len} elements, at most {MAX_INDEXED_ELEMENTS}")]
    SetTooLarge {
        /// The table.
        table: &'static str,
        /// The set.
        field: String,
        /// Its size.
        len: usize,
    },
    /// Rows cannot be listed by this field.
    #[error("{table} has no index of {field:?} for such a value")]
    NotIndexed {
        /// The table.
        table: &'static str,
        /// What was asked for.
        field: String,
    },
    /// More operations, index rows included, than a command may have.
    #[error("the change has {0} operations, at most {MAX_COMMIT_OPS}")]
    BatchTooLarge(usize),
    /// Two changes of one row in one batch.
    #[error("a row of {table} is named twice in one change")]
    Twice {
        /// The table.
        table: &'static str,
    },
    /// A defect of the module: a table of another request, or a use that the method's check does not allow.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// A stored row is damaged, or an entity does not fit its declaration.
    #[error("a row of {table} is not what it should be")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: NotAnEntity,
    },
    /// Bytes that are to be stored and are no row of the table.
    #[error("the new row is none of {table}")]
    NewRow {
        /// The table.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: NotAnEntity,
    },
    /// The store refused.
    #[error("the store refused")]
    Store(#[from] Refusal),
}

impl QueryError {
    /// What a client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } => Reason::NotFound,
            Self::NotPermitted { .. } => Reason::NotPermitted,
            Self::AlreadyExists { .. } => Reason::AlreadyExists,
            Self::Changed { .. } => Reason::Conflict,
            Self::Key { .. }
            | Self::RowTooLarge { .. }
            | Self::SetTooLarge { .. }
            | Self::NotIndexed { .. }
            | Self::BatchTooLarge(_)
            | Self::Twice { .. }
            | Self::NewRow { .. } => Reason::Malformed,
            Self::Misuse(_) | Self::Row { .. } => Reason::Internal,
            Self::Store(refusal) => refusal.reason(),
        }
    }

    /// Whether the answer depends on what is stored, so that an earlier try of the same command may be why.
    pub(super) const fn is_about_rows(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::AlreadyExists { .. } | Self::Changed { .. })
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(refusal) => refusal,
            error => Self::new(error.reason()).because(holdfast_domain::causes(&error)),
        }
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        Self::new(Reason::Malformed).because(error)
    }
}

impl From<KeyError> for tonic::Status {
    fn from(error: KeyError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<QueryError> for tonic::Status {
    fn from(error: QueryError) -> Self {
        Refusal::from(error).into()
    }
}
