//! Reading records of an opened home.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::CommandId;
use holdfast_store::records::{
    Named, OpenedRecord, RecordCodec, RecordKey, RecordScope, RowKind, StoredRecord,
};
use holdfast_sys_core::{
    errors::Refusal,
    module::{self, RowVersion},
};

use super::{
    ShardGroup,
    homes::{HomeRef, OpenHome},
    lane::Ahead,
    names::Names,
    refusals,
};
use crate::machine::{Reader, StateError, Table};

/// A home's rows at the moment. Blocking; never held across an await.
pub(crate) struct HomeRows<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) home: Arc<OpenHome>,
    /// What is on its way counts as there, for decisions.
    pub(super) ahead: Option<&'a Ahead>,
    pub(super) names: Arc<Names>,
}

/// A record that is there.
pub(crate) struct Found {
    pub(crate) key: RecordKey,
    pub(crate) stored: StoredRecord,
}

/// A name's place: where a new row goes, and where rows of older name keys may still be.
pub(crate) struct Located {
    pub(crate) named: Arc<Named>,
    pub(crate) found: Option<Found>,
}

impl ShardGroup {
    /// The rows of a home; `None` when it never wrote.
    pub(crate) fn rows(&self, at: &HomeRef) -> Result<Option<HomeRows<'_>>, Refusal> {
        let reader = self.state().read();
        let home = self.open_home(&reader, at)?;
        Ok(home.map(|home| HomeRows { reader, home, ahead: None, names: Arc::default() }))
    }
}

impl HomeRows<'_> {
    pub(crate) fn codec(&self) -> &RecordCodec {
        &self.home.codec
    }

    /// Finds a name.
    pub(crate) fn locate<C: AsRef<[u8]>>(&self, kind: RowKind, name: &[C]) -> Result<Located, Refusal> {
        let named = self.named(kind, name)?;
        for key in named.keys() {
            if let Some(value) = self.record(key)? {
                let stored = StoredRecord::parse(value).map_err(|error| refusals::record(error.into()))?;
                return Ok(Located { found: Some(Found { key: key.clone(), stored }), named });
            }
        }
        Ok(Located { named, found: None })
    }

    /// A name with its keys.
    pub(super) fn named<C: AsRef<[u8]>>(&self, kind: RowKind, name: &[C]) -> Result<Arc<Named>, Refusal> {
        self.names.of(&self.home, kind, name).map_err(refusals::record)
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
        let Located { named, found } = self.locate(kind, name)?;
        let Some(found) = found else { return Ok(None) };
        let opened = self.codec().open_named(&named, &found.key, &found.stored).map_err(refusals::record)?;
        Ok(Some((found, opened)))
    }

    /// Whether a command id was applied.
    pub(crate) fn seen(&self, scope: &RecordScope, id: CommandId) -> Result<bool, StateError> {
        self.reader.seen(scope.slot, scope.partition, id)
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
