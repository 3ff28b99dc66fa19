//! A listing that leaves records out before they leave the store.

use std::sync::Arc;

use holdfast_domain::Sha256Hash;

use super::{RecordKey, Row};
use crate::errors::Refusal;

/// Which records a scan gives.
pub trait Select: Send + Sync {
    /// The record that a visited one stands for, if not itself: an index row names a row of its table.
    ///
    /// # Errors
    /// A refusal ends the scan.
    fn target(&self, _visited: &RecordKey) -> Result<Option<RecordKey>, Refusal> {
        Ok(None)
    }

    /// Whether the scan gives this record: the visited one, or what that one stands for if it exists.
    ///
    /// # Errors
    /// A refusal ends the scan.
    fn admits(&self, visited: &RecordKey, row: &Row) -> Result<bool, Refusal>;
}

/// A listing: where it goes, what it gives, and what its cursors are good for.
#[derive(Clone)]
pub struct Scan {
    /// Prefixes of names, gone through one after another; at most
    /// [`limits::MAX_SCAN_PREFIXES`](crate::limits::MAX_SCAN_PREFIXES).
    pub prefixes: Vec<RecordKey>,
    /// What is given.
    pub select: Arc<dyn Select>,
    /// A cursor is good for scans with the same hash and prefixes only.
    pub bound_to: Option<Sha256Hash>,
}

impl Scan {
    /// Every record under a prefix.
    pub fn all(prefix: RecordKey) -> Self {
        Self { prefixes: vec![prefix], select: Arc::new(All), bound_to: None }
    }
}

struct All;

impl Select for All {
    fn admits(&self, _: &RecordKey, _: &Row) -> Result<bool, Refusal> {
        Ok(true)
    }
}
