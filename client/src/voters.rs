//! The registries that a credential directory remembers: a cluster outlives the voters that a context was made with.
//!
//! A cache of addresses, one a line, the one that answered last first. Whoever is dialed there still proves that it is a registry
//! of the pinned root.

use std::path::PathBuf;

use crate::{config::RegistryAddress, limits::MAX_LEARNED, storage};

/// Most bytes of the file: an address has at most 261.
const MAX_FILE: u64 = 8 * 1024;

/// The file.
#[derive(Debug)]
pub(crate) struct VotersFile(PathBuf);

impl VotersFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Who was remembered, and then whom the context names.
    pub(crate) fn before(&self, configured: &[String]) -> Vec<String> {
        match storage::read_optional(&self.0, MAX_FILE) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
                merged(text.lines().map(ToOwned::to_owned), configured)
            }
            Err(error) => {
                tracing::warn!(error = holdfast_domain::causes(&error), "remembered registries are not read");
                configured.to_vec()
            }
        }
    }

    /// A file that cannot be written costs a dead address next time, nothing more.
    pub(crate) fn remember(&self, addresses: &[String]) {
        if let Err(error) = storage::write(&self.0, addresses.join("\n").as_bytes()) {
            tracing::warn!(error = holdfast_domain::causes(&error), "the registries could not be remembered");
        }
    }

    /// Only whom the context names counts from now on.
    pub(crate) fn forget(&self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "remembered registries are not forgotten");
        }
    }
}

/// A few learned addresses that are some, and then all configured ones: whoever names members can push none of these out.
pub(crate) fn merged(learned: impl IntoIterator<Item = String>, configured: &[String]) -> Vec<String> {
    let mut merged: Vec<String> = Vec::new();
    for address in learned {
        let is_new = merged.len() < MAX_LEARNED && !merged.contains(&address);
        if is_new && address.parse::<RegistryAddress>().is_ok() {
            merged.push(address);
        }
    }
    for address in configured {
        if !merged.contains(address) {
            merged.push(address.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_remembered_comes_before_what_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let file = VotersFile::new(dir.path().join("voters"));
        let configured = ["a:1".to_owned(), "b:2".to_owned()];
        assert_eq!(file.before(&configured), ["a:1", "b:2"]);
        file.remember(&["c:3".to_owned(), "b:2".to_owned()]);
        assert_eq!(file.before(&configured), ["c:3", "b:2", "a:1"]);
        file.forget();
        file.forget();
        assert_eq!(file.before(&configured), ["a:1", "b:2"]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_in_the_file_never_panic_and_add_no_nonsense(bytes: Vec<u8>) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("voters");
            std::fs::write(&path, bytes).unwrap();
            let addresses = VotersFile::new(path).before(&["a:1".to_owned()]);
            prop_assert!(addresses.contains(&"a:1".to_owned()) && addresses.len() <= MAX_LEARNED + 1);
            prop_assert!(addresses.iter().all(|address| address.parse::<RegistryAddress>().is_ok()));
        }
    }
}
