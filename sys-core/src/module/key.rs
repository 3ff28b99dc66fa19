//! Names of records: components, so that a listing can go by prefix without the store knowing the names.

use std::sync::Arc;

/// Most components of a record's name.
pub const MAX_COMPONENTS: usize = 8;

/// Longest component in bytes.
pub const MAX_COMPONENT_BYTES: usize = 512;

/// A record's name within its home and tablespace, or a prefix of names: 1 to 8 components of 1 to 512 bytes. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(Arc<[Vec<u8>]>);

/// Why components are no record name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// None, or too many of them.
    #[error("a record name has 1 to {MAX_COMPONENTS} components, not {0}")]
    Components(usize),
    /// An empty or too long component.
    #[error("a component has 1 to {MAX_COMPONENT_BYTES} bytes, not {0}")]
    Component(usize),
}

impl RecordKey {
    /// A name from its components.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new<C: Into<Vec<u8>>>(components: impl IntoIterator<Item = C>) -> Result<Self, KeyError> {
        let mut checked = Vec::new();
        for component in components {
            let component: Vec<u8> = component.into();
            if !(1..=MAX_COMPONENT_BYTES).contains(&component.len()) {
                return Err(KeyError::Component(component.len()));
            }
            checked.push(component);
            if checked.len() > MAX_COMPONENTS {
                return Err(KeyError::Components(checked.len()));
            }
        }
        if checked.is_empty() { Err(KeyError::Components(0)) } else { Ok(Self(checked.into())) }
    }

    /// The components in order.
    pub fn components(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Whether this name is under a prefix, or is the prefix itself.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_long_and_too_many_components_are_refused() {
        assert_eq!(RecordKey::new(Vec::<Vec<u8>>::new()), Err(KeyError::Components(0)));
        assert_eq!(RecordKey::new([b"".to_vec()]), Err(KeyError::Component(0)));
        assert_eq!(RecordKey::new([vec![1; 513]]), Err(KeyError::Component(513)));
        assert_eq!(RecordKey::new(vec![b"a"; 9]), Err(KeyError::Components(9)));
        assert!(RecordKey::new(vec![b"a"; 8]).is_ok());
    }

    #[test]
    fn a_prefix_is_whole_components() {
        let name = RecordKey::new(["ab", "c"]).unwrap();
        assert!(name.starts_with(&RecordKey::new(["ab"]).unwrap()));
        assert!(!name.starts_with(&RecordKey::new(["a"]).unwrap()));
    }
}
