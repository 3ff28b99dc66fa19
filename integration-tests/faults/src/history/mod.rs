//! What clients saw of a store, and whether a store that loses nothing and keeps time could have shown it.
//!
//! Each key is a register with puts of unique values, deletes and reads. A call whose answer was lost may have happened at any
//! time after it began, or never.
//!
//! - [`Recorder`]: takes calls down as they begin and end, from many threads
//! - [`check`]: whether one order of the calls explains every answer, key by key (Wing and Gong, with Lowe's memory), and
//!   which few calls contradict each other when there is none
//! - [`check_end`]: every acknowledged write is there at the end, and whatever is there was asked for

mod end;
mod linear;
mod operation;
mod recorder;
mod shrink;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::{
    end::{EndFault, check_end},
    linear::Verdict,
    operation::{Action, Ended, Operation, Value},
    recorder::{Call, Recorder},
};

/// Steps that the search for an order may take for one key: seconds at worst.
const SEARCH_STEPS: u64 = 5_000_000;

/// A history that no order explains, or one for which none was found in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The register.
    pub key: String,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong with a key's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// These calls contradict each other; without any of them the rest would not, as far as that could be tried.
    Contradiction(Vec<Operation>),
    /// The search was given up: the history is too long or has too many lost answers.
    Undecided,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            FaultKind::Undecided => write!(out, "{}: no order found in time", self.key),
            FaultKind::Contradiction(part) => {
                writeln!(out, "{}: no order explains these calls:", self.key)?;
                part.iter().try_for_each(|operation| writeln!(out, "  {operation}"))
            }
        }
    }
}

/// Checks every key; the faults of all keys.
pub fn check(history: &[Operation]) -> Vec<Fault> {
    let mut keys: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for operation in history {
        keys.entry(&operation.key).or_default().push(operation.clone());
    }
    let fault = |(key, operations): (&str, Vec<Operation>)| {
        let kind = match linear::explain(&operations, SEARCH_STEPS) {
            Verdict::Explained => return None,
            Verdict::Undecided => FaultKind::Undecided,
            Verdict::Contradiction => FaultKind::Contradiction(shrink::shortest(operations, SEARCH_STEPS)),
        };
        Some(Fault { key: key.to_owned(), kind })
    };
    keys.into_iter().filter_map(fault).collect()
}
