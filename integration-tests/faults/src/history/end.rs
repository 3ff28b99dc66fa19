//! What is there at the end against what was acknowledged and asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Operation, Value};

/// Something that should not be so at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndFault {
    /// An acknowledged write is gone.
    #[error("{key} holds {}, and this was acknowledged: {acknowledged}", show(*.found))]
    Lost {
        /// The register.
        key: String,
        /// What it holds.
        found: Option<Value>,
        /// The write that should show or be overwritten.
        acknowledged: Box<Operation>,
    },
    /// It holds what nobody put there.
    #[error("{key} holds {}, which nobody put there", show(Some(*.found)))]
    Unasked {
        /// The register.
        key: String,
        /// What it holds.
        found: Value,
    },
    /// A value is back that a later acknowledged write had replaced.
    #[error("{key} holds {} again, which was replaced: {by}", show(Some(*.found)))]
    Returned {
        /// The register.
        key: String,
        /// What it holds.
        found: Value,
        /// A later acknowledged write.
        by: Box<Operation>,
    },
}

fn show(value: Option<Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |Value(value)| value.to_string())
}

/// Compares what all registers hold, read after the last call had ended, with their history.
pub fn check_end(history: &[Operation], found: &BTreeMap<String, Value>) -> Vec<EndFault> {
    let mut writes: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|operation| operation.is_write()) {
        writes.entry(&operation.key).or_default().push(operation);
    }
    let keys: BTreeSet<&str> = writes.keys().copied().chain(found.keys().map(String::as_str)).collect();
    let fault = |key: &str| {
        let writes = writes.get(key).map(Vec::as_slice).unwrap_or_default();
        check_register(key, writes, found.get(key).copied())
    };
    keys.into_iter().filter_map(fault).collect()
}

fn check_register(key: &str, writes: &[&Operation], found: Option<Value>) -> Option<EndFault> {
    let key = key.to_owned();
    let replaced_by = |write: &Operation| {
        writes.iter().copied().find(|later| later.is_answered() && write.is_before(later))
    };
    match found {
        Some(found) => {
            let Some(put) = writes.iter().copied().find(|write| write.action == Action::Put(found)) else {
                return Some(EndFault::Unasked { key, found });
            };
            let by = Box::new(replaced_by(put)?.clone());
            Some(EndFault::Returned { key, found, by })
        }
        None => {
            // It may be empty if no put was acknowledged, or by a delete that nothing surely followed.
            let last_delete =
                |write: &&Operation| write.action == Action::Delete && replaced_by(write).is_none();
            if writes.iter().copied().any(|write| last_delete(&write)) {
                return None;
            }
            let put = |write: &&Operation| write.is_answered() && write.action != Action::Delete;
            let acknowledged =
                Box::new(writes.iter().copied().filter(put).max_by_key(|write| write.began)?.clone());
            Some(EndFault::Lost { key, found: None, acknowledged })
        }
    }
}
