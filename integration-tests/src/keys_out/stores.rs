//! Keys in a copy of a node's store.

/// The keys of one group's data.
#[derive(Default)]
pub struct StoreKeys {}

/// Placeholder until the offline reader is there.
pub fn store_keys() -> StoreKeys {
    StoreKeys::default()
}
