//! Listings: where they look, what they leave out, and what their cursors are good for.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_authz::{RowFilter, Scope};
use holdfast_domain::{FieldType, FieldValue, Sha256Hash};

use super::{
    QueryError, RowKey, Stored,
    bound::{Bound, Seen},
};
use crate::{
    errors::Refusal,
    limits::{MAX_PAGE_ROWS, MAX_SCAN_PREFIXES},
    module::{Cursor, RecordKey, Row, Scan, Select},
};

/// Which rows are asked for; the caller's scope comes on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// All.
    Everything,
    /// Those whose keys begin like this.
    Prefix(RowKey),
    /// Those with this value in an indexed field, or with this text in an indexed set.
    Index(String, FieldValue),
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage<E> {
    /// The rows.
    pub rows: Vec<Stored<E>>,
    /// `None` at the end.
    pub next: Option<Cursor>,
}

/// One page.
pub(super) async fn page(
    bound: &Arc<Bound>,
    by: &By,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<Seen>, Option<Cursor>), QueryError> {
    let look_up = LookUp::plan(bound, by)?;
    if bound.scope == Scope::Never {
        return Ok((Vec::new(), None));
    }
    let (LookUp::Rows(prefixes) | LookUp::Index(prefixes)) = &look_up;
    let prefixes = prefixes.clone();
    let select = Arc::new(Selected { bound: Arc::clone(bound), look_up });
    let scan = Scan { prefixes, select, bound_to: Some(identity(bound, by)) };
    let page = bound.binding.partition.scan(&scan, cursor, limit.clamp(1, MAX_PAGE_ROWS)).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in page.rows {
        // Judged when it was selected; judged again, as the store is not where that is decided.
        let seen = bound.see(row)?.ok_or(QueryError::Misuse("the store gave a row that was left out"))?;
        rows.push(seen);
    }
    Ok((rows, page.next))
}

/// What a cursor is good for: this listing under this scope. Derived `Debug` texts quote what they hold, so different listings and
/// scopes are different texts.
fn identity(bound: &Bound, by: &By) -> Sha256Hash {
    let Bound { names, scope, .. } = bound;
    Sha256Hash::of(format!("query/listing/v1 {:?} {by:?} {scope:?}", names.table()).as_bytes())
}

/// Where to look.
enum LookUp {
    /// At rows, each of which is under one of these.
    Rows(Vec<RecordKey>),
    /// At index rows.
    Index(Vec<RecordKey>),
}

impl LookUp {
    fn plan(bound: &Bound, by: &By) -> Result<Self, QueryError> {
        match by {
            By::Everything => match Self::by_scope(bound) {
                Some(look_up) => Ok(look_up),
                None => Ok(Self::Rows(vec![bound.names.all()?])),
            },
            By::Prefix(key) => Ok(Self::Rows(vec![bound.names.above(key)?])),
            By::Index(field, value) => Ok(Self::Index(vec![bound.names.above_indexed(field, value)?])),
        }
    }

    /// Places that together hold all rows of the scope, if they are few: where keys begin with what the scope asks for, rather than an
    /// index, which is one more step to each row.
    fn by_scope(bound: &Bound) -> Option<Self> {
        let Scope::Rows(filter) = &bound.scope else { return None };
        Self::by_key(bound, filter).map(Self::Rows).or_else(|| Self::by_index(bound, filter).map(Self::Index))
    }

    fn by_key(bound: &Bound, filter: &RowFilter) -> Option<Vec<RecordKey>> {
        let first = bound.names.0.key.first()?;
        let hints = few(filter.index_hints(&|name| name == first)?)?;
        let above =
            |(_, value): (_, &FieldValue)| bound.names.above(&RowKey::new([value.clone()]).ok()?).ok();
        hints.into_iter().map(above).collect()
    }

    fn by_index(bound: &Bound, filter: &RowFilter) -> Option<Vec<RecordKey>> {
        let schema = bound.names.0;
        // Sets are indexed by element, filters compare them whole.
        let indexed = |name: &str| {
            schema.field(name).is_some_and(|field| field.indexed && field.ty != FieldType::TextSet)
        };
        let hints = few(filter.index_hints(&indexed)?)?;
        hints.into_iter().map(|(field, value)| bound.names.above_indexed(field, value).ok()).collect()
    }
}

/// As many places as one scan goes through, or none.
fn few<T>(hints: BTreeSet<T>) -> Option<BTreeSet<T>> {
    (hints.len() <= MAX_SCAN_PREFIXES).then_some(hints)
}

/// The rows of a listing that the caller may see.
struct Selected {
    bound: Arc<Bound>,
    look_up: LookUp,
}

impl Select for Selected {
    fn target(&self, visited: &RecordKey) -> Result<Option<RecordKey>, Refusal> {
        match self.look_up {
            LookUp::Rows(_) => Ok(None),
            LookUp::Index(_) => Ok(Some(self.bound.names.led_to(visited)?)),
        }
    }

    fn admits(&self, visited: &RecordKey, row: &Row) -> Result<bool, Refusal> {
        let Some(fields) = self.bound.sees(row)? else { return Ok(false) };
        match &self.look_up {
            LookUp::Rows(_) => Ok(true),
            LookUp::Index(prefixes) => {
                let borne_out = self.bound.names.stored_index_rows(&fields)?;
                // A row that several of the look-ups find is given by the first.
                let first =
                    prefixes.iter().find(|prefix| borne_out.iter().any(|row| row.starts_with(prefix)));
                Ok(borne_out.contains(visited) && first.is_some_and(|first| visited.starts_with(first)))
            }
        }
    }
}
