//! Names that one call works with.
//!
//! A change reads rows, puts them under preconditions and writes them: the keys of a name are worked out once for all of that.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_store::records::{Named, RecordError, RowKind};

use super::homes::OpenHome;
use crate::limits::MAX_CALL_NAMES;

/// See the module. Each name is kept with the opened home whose codec made its keys, and is good for that one alone.
#[derive(Default)]
pub(super) struct Names(Mutex<Vec<(Arc<OpenHome>, Arc<Named>)>>);

impl Names {
    /// A name with its keys.
    pub(super) fn of<C: AsRef<[u8]>>(
        &self,
        home: &Arc<OpenHome>,
        kind: RowKind,
        name: &[C],
    ) -> Result<Arc<Named>, RecordError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |named: &Named| {
            named.kind() == kind && named.components().iter().eq(name.iter().map(AsRef::as_ref))
        };
        if let Some((_, named)) = known.iter().find(|(of, named)| Arc::ptr_eq(of, home) && is_it(named)) {
            return Ok(Arc::clone(named));
        }
        let named = Arc::new(home.codec.named(kind, name)?);
        if known.len() >= MAX_CALL_NAMES {
            known.remove(0);
        }
        known.push((Arc::clone(home), Arc::clone(&named)));
        Ok(named)
    }
}

/// Names are the client's.
impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}
