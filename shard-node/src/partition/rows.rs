//! Reading records of an opened home.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::CommandId;
use holdfast_store::records::{OpenedRecord, RecordCodec, RecordKey, RecordScope, RowKind, StoredRecord};
use holdfast_sys_core::{
    errors::Refusal,
    module::{self, RowVersion},
};

use super::{
    ShardGroup,
    homes::{HomeRef, OpenHome},
    lane::Ahead,
    refusals,
};
use crate::machine::{DedupRow, Reader, StateError, Table, dedup_key};

/// A home's rows at the moment. Blocking; never held across an await.
pub(crate) struct HomeRows<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) home: Arc<OpenHome>,
    /// What is on its way counts as there, for decisions.
    pub(super) ahead: Option<&'a Ahead>,
}

/// A record that is there.
pub(crate) struct Found {
    pub(crate) key: RecordKey,
    pub(crate) stored: StoredRecord,
}

/// A name's place: where a new row goes, and where rows of older name keys may still be.
pub(crate) struct Located {
    /// Never empty; the newest name key's is last.
    pub(crate) keys: Vec<RecordKey>,
    pub(crate) found: Option<Found>,
}

impl ShardGroup {
    /// The rows of a home; `None` when it never wrote.
    pub(crate) fn rows(&self, at: &HomeRef) -> Result<Option<HomeRows<'_>>, Refusal> {
        let reader = self.state().read();
        let home = self.open_home(&reader, at)?;
        Ok(home.map(|home| HomeRows { reader, home, ahead: None }))
    }
}

impl HomeRows<'_> {
    pub(crate) fn codec(&self) -> &RecordCodec {
        &self.home.codec
    }

    /// Finds a name.
    pub(crate) fn locate<C: AsRef<[u8]>>(&self, kind: RowKind, name: &[C]) -> Result<Located, Refusal> {
        let keys = self.codec().keys(kind, name, b"").map_err(refusals::record)?;
        let keys: Vec<_> = keys.into_iter().map(|versioned| versioned.key).collect();
        for key in &keys {
            if let Some(value) = self.record(key)? {
                let stored = StoredRecord::parse(value).map_err(|error| refusals::record(error.into()))?;
                return Ok(Located { found: Some(Found { key: key.clone(), stored }), keys });
            }
        }
        Ok(Located { keys, found: None })
    }

    fn record(&self, key: &RecordKey) -> Result<Option<Bytes>, StateError> {
        match self.ahead.and_then(|ahead| ahead.row(key.as_bytes())) {
            Some(row) => Ok(row),
            None => self.reader.get_raw(Table::Records, key.as_bytes()),
        }
    }

    /// A record by name.
    pub(crate) fn get<C: AsRef<[u8]>>(
        &self,
        kind: RowKind,
        name: &[C],
    ) -> Result<Option<(Found, OpenedRecord)>, Refusal> {
        let Some(found) = self.locate(kind, name)?.found else { return Ok(None) };
        let opened = self.open(&found)?;
        Ok(Some((found, opened)))
    }

    pub(crate) fn open(&self, found: &Found) -> Result<OpenedRecord, Refusal> {
        self.codec().open(&found.key, &found.stored).map_err(refusals::record)
    }

    /// Whether a command id was applied.
    pub(crate) fn seen(&self, scope: &RecordScope, id: CommandId) -> Result<bool, StateError> {
        let row = self.reader.get::<DedupRow>(&dedup_key(scope.slot, scope.partition, id))?;
        Ok(row.is_some_and(|row| row.has(id)))
    }
}

impl Found {
    pub(crate) fn version(&self) -> RowVersion {
        RowVersion { version: self.stored.version().0, etag: self.stored.etag().0 }
    }
}

/// A record as modules see it.
pub(super) fn module_row(found: &Found, opened: OpenedRecord) -> Result<module::Row, Refusal> {
    let key = module::RecordKey::new(opened.head.components)
        .map_err(|error| refusals::because(holdfast_domain::Reason::Internal, &error))?;
    Ok(module::Row { key, value: opened.body, version: found.version() })
}
