//! What module servers say of keys, versions and changes, read with suspicion.

use holdfast_domain::{FieldValue, Reason};
use holdfast_proto::data::v1 as pb;

use crate::{
    errors::Refusal,
    module::{Cursor, RowVersion},
    query::{By, RowChange, RowKey},
};

const ETAG: usize = 8;

pub(super) fn malformed(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed).because(detail)
}

fn value(value: pb::Value) -> Result<FieldValue, Refusal> {
    use pb::value::Value as Wire;
    match value.value.ok_or_else(|| malformed("a value without a value"))? {
        Wire::Flag(flag) => Ok(flag.into()),
        Wire::Number(number) => Ok(number.into()),
        Wire::Text(text) => Ok(text.into()),
        Wire::Bytes(bytes) => Ok(FieldValue::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())),
    }
}

pub(super) fn key(key: Option<pb::Key>) -> Result<RowKey, Refusal> {
    let pb::Key { values } = key.ok_or_else(|| malformed("no key"))?;
    if values.len() > crate::limits::MAX_KEY_FIELDS {
        return Err(malformed("too many values for a key"));
    }
    Ok(RowKey::new(values.into_iter().map(value).collect::<Result<Vec<_>, _>>()?)?)
}

pub(super) fn by(by: Option<pb::list_request::By>) -> Result<By, Refusal> {
    use pb::list_request::By as Wire;
    match by {
        None => Ok(By::Everything),
        Some(Wire::Prefix(prefix)) => Ok(By::Prefix(key(Some(prefix))?)),
        Some(Wire::Index(pb::Index { field, value: of })) => {
            Ok(By::Index(field, value(of.ok_or_else(|| malformed("an index without a value"))?)?))
        }
    }
}

pub(super) fn cursor(bytes: &[u8]) -> Option<Cursor> {
    (!bytes.is_empty()).then(|| Cursor(bytes.to_vec()))
}

pub(super) fn encode_version(RowVersion { version, etag }: RowVersion) -> Vec<u8> {
    [version.to_be_bytes(), etag].concat()
}

pub(super) fn version(bytes: &[u8]) -> Result<RowVersion, Refusal> {
    let parts = bytes.split_first_chunk::<{ size_of::<u64>() }>();
    let parts = parts.and_then(|(version, etag)| Some((version, <[u8; ETAG]>::try_from(etag).ok()?)));
    let (version, etag) = parts.ok_or_else(|| malformed("no version of a row"))?;
    Ok(RowVersion { version: u64::from_be_bytes(*version), etag })
}

pub(super) fn change(change: Option<pb::change::Change>) -> Result<RowChange, Refusal> {
    use pb::change::Change as Wire;
    match change.ok_or_else(|| malformed("a change that changes nothing"))? {
        Wire::Put(value) => Ok(RowChange::Put(value.to_vec())),
        Wire::Insert(value) => Ok(RowChange::Insert(value.to_vec())),
        Wire::Replace(pb::Row { value, version: of }) => {
            Ok(RowChange::Replace(value.to_vec(), version(&of)?))
        }
        Wire::Delete(of) => Ok(RowChange::Delete(key(Some(of))?)),
        Wire::Require(pb::Require { key: of, version: at }) => {
            Ok(RowChange::Require(key(of)?, version(&at)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_version_reads_back_and_other_bytes_are_none(number in any::<u64>(), etag in any::<[u8; 8]>(), other in any::<Vec<u8>>()) {
            let of = RowVersion { version: number, etag };
            prop_assert_eq!(version(&encode_version(of)).unwrap(), of);
            prop_assert_eq!(version(&other).is_ok(), other.len() == 16);
        }
    }

    #[test]
    fn parts_that_are_missing_are_malformed() {
        assert!(key(None).is_err() && key(Some(pb::Key::default())).is_err() && change(None).is_err());
        let empty = pb::Key { values: vec![pb::Value::default()] };
        assert!(key(Some(empty)).is_err());
        let many = pb::Key { values: vec![pb::Value { value: Some(pb::value::Value::Flag(true)) }; 6] };
        assert!(key(Some(many)).is_err());
        assert!(by(Some(pb::list_request::By::Index(pb::Index::default()))).is_err());
    }
}
