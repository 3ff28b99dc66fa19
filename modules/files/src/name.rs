//! Names of files: bytes, `/` between components, and how they become record names.
//!
//! A record name has few and short components, a file's name any: a component over 511 bytes is replaced by its hash, and so is everything
//! after the sixth when there are more than seven. A first byte tells the three forms apart, so no two names meet in one record.
//! Listing below such a hash goes by the components above it and filters.

use holdfast_domain::{Reason, Sha256Hash};
use holdfast_sys_core::{
    Refusal,
    module::{MAX_COMPONENT_BYTES, MAX_COMPONENTS, RecordKey},
};
use serde::{Deserialize, Serialize};

use crate::limits::MAX_NAME_BYTES;

/// First component of files' records.
const FILES: &[u8] = b"f";

/// Components of a name that have a record component each when the name is deep.
const OWN: usize = MAX_COMPONENTS - 2;

const PLAIN: u8 = 0;
const HASHED: u8 = 1;
const HASHED_REST: u8 = 2;

/// A file's name: 1 to 4,096 bytes without NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileName(Vec<u8>);

/// Whole leading components of names; empty for all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(Vec<u8>);

impl FileName {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let valid = (1..=MAX_NAME_BYTES).contains(&bytes.len()) && !bytes.contains(&0);
        if valid { Ok(Self(bytes.to_owned())) } else { Err(Reason::Malformed.into()) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The record that holds the file.
    pub(crate) fn key(&self) -> Result<RecordKey, Refusal> {
        let components: Vec<_> = self.0.split(|byte| *byte == b'/').collect();
        if components.len() < MAX_COMPONENTS {
            return record_key(components.into_iter().map(component));
        }
        let own = components.iter().take(OWN).copied();
        let skipped: usize = own.clone().map(|component| component.len() + 1).sum();
        let rest = self.0.get(skipped..).unwrap_or_default();
        record_key(own.map(component).chain([hashed(HASHED_REST, rest)]))
    }
}

impl Prefix {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let valid = bytes.len() <= MAX_NAME_BYTES && !bytes.contains(&0);
        if valid { Ok(Self(bytes.to_owned())) } else { Err(Reason::Malformed.into()) }
    }

    /// A prefix of the records of all files under this one; [`Self::covers`] says which of them are.
    pub(crate) fn key(&self) -> Result<RecordKey, Refusal> {
        let components = self.0.split(|byte| *byte == b'/').take(OWN);
        record_key(components.filter(|_| !self.0.is_empty()).map(component))
    }

    /// Whether a file is under this prefix.
    pub(crate) fn covers(&self, name: &FileName) -> bool {
        let rest = name.0.strip_prefix(&*self.0);
        self.0.is_empty() || rest.is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

fn record_key(components: impl Iterator<Item = Vec<u8>>) -> Result<RecordKey, Refusal> {
    RecordKey::new(std::iter::once(FILES.to_owned()).chain(components))
        .map_err(|error| Refusal::new(Reason::Internal).because(error))
}

fn component(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() < MAX_COMPONENT_BYTES { [&[PLAIN], bytes].concat() } else { hashed(HASHED, bytes) }
}

fn hashed(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag], Sha256Hash::of(bytes).as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(bytes: impl AsRef<[u8]>) -> FileName {
        FileName::parse(bytes.as_ref()).unwrap()
    }

    #[test]
    fn empty_long_and_nul_names_are_refused() {
        for bytes in [b"".as_slice(), b"a\0b", &[b'a'; 4097]] {
            assert!(FileName::parse(bytes).is_err());
        }
        assert!(FileName::parse(&[0xff; 4096]).is_ok());
        assert!(Prefix::parse(b"").is_ok());
    }

    #[test]
    fn a_prefix_is_whole_components_and_not_the_file_of_that_name() {
        let prefix = Prefix::parse(b"a/b").unwrap();
        assert!(prefix.covers(&name("a/b/c")));
        assert!(!prefix.covers(&name("a/b")));
        assert!(!prefix.covers(&name("a/bc")));
        assert!(Prefix::parse(b"").unwrap().covers(&name("a")));
    }

    /// Few letters, many slashes, and components on both sides of every bound.
    fn names() -> impl Strategy<Value = Vec<u8>> {
        let component = prop_oneof![
            4 => prop::collection::vec(prop::sample::select(b"ab".as_slice()), 0..3),
            1 => (508usize..515).prop_map(|len| vec![b'a'; len]),
        ];
        prop::collection::vec(component, 1..11)
            .prop_map(|components| components.join(&b'/'))
            .prop_filter("bounds", |name| (1..=MAX_NAME_BYTES).contains(&name.len()))
    }

    proptest! {
        #[test]
        fn every_name_has_a_record_of_its_own(one in names(), other in names()) {
            prop_assert_eq!(name(&one).key().unwrap() == name(&other).key().unwrap(), one == other);
        }

        #[test]
        fn a_prefix_reaches_the_records_of_all_names_that_it_covers(one in names(), cut in 0usize..11) {
            let parts: Vec<_> = one.split(|byte| *byte == b'/').collect();
            let prefix = Prefix::parse(&parts[..cut.min(parts.len() - 1)].join(&b'/')).unwrap();
            if prefix.covers(&name(&one)) {
                prop_assert!(name(&one).key().unwrap().starts_with(&prefix.key().unwrap()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            let _ = FileName::parse(&bytes).map(|name| name.key().unwrap());
            let _ = Prefix::parse(&bytes).map(|prefix| prefix.key().unwrap());
        }
    }
}
