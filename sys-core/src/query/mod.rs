//! Rows of a module's tables, as far as one caller may see them.
//!
//! A handler is given [`Table`]s and [`Batch`]es that are bound already: to the module's tablespace in one home, to the caller, and to the
//! scope that policies gave the method's check. It can neither make nor rebind one. What lies outside of the scope does not exist:
//!
//! | | the row is hidden | the new row would be hidden |
//! |---|---|---|
//! | get, list | `NotFound`, left out | |
//! | replace, delete, require | `NotFound` | `NotPermitted`, whatever is stored |
//! | insert, put | `NotFound` | `NotPermitted`, whatever is stored |
//!
//! What remains: who may insert under a name that he chooses learns that the name is taken, as nothing can be stored there. Modules keep
//! that from mattering by drawing names at random, or by beginning them with the field that the scope goes by.
//!
//! Rows and the index rows that lead to them change in one commit whose preconditions are the rows as they were read, so no order of
//! writers leaves an index row that its row does not bear out; look-ups check the row itself nevertheless. A field's index covers the rows
//! that were written since the field was declared indexed: declare it with the table, or rewrite the table.
//!
//! A listing gives pages: order is the store's, and rows that nobody changes meanwhile come exactly once.

mod batch;
mod binding;
mod bound;
mod change;
mod entity;
mod error;
mod key;
mod kind;
mod listing;
mod message;
mod names;
mod rows;
mod stored;
mod table;
mod unfiltered;

pub use batch::{Batch, Committed};
pub use entity::{Entity, NotAnEntity};
pub use error::QueryError;
pub use holdfast_domain::{EntitySchema, Fields};
pub use key::{KeyError, RowKey};
pub use listing::{By, RowPage};
pub use message::{MessageSchema, MessageSchemaError};
pub use table::{Stored, Table};
pub use unfiltered::Unfiltered;

pub(crate) use binding::Binding;
pub(crate) use change::rewritten;
pub(crate) use kind::Kind;
pub(crate) use rows::{RawRow, RowChange, Rows};

#[cfg(test)]
mod tests;
