//! Derived keys: HKDF-SHA-256, one function and one label for each.

use hkdf::Hkdf;
use holdfast_domain::Kcv;
use sha2::Sha256;

use crate::{
    hash::LenPrefixed,
    labels,
    secret::{Crk, DataKey, LocalKey, LocatorKey, NameKey, Secret32, SecretKey, TokenKey, ValueKey, WrapKey},
};

/// The key check value of a key.
pub fn kcv(key: &impl SecretKey) -> Kcv {
    let full = hkdf(key, &LenPrefixed::new(labels::KCV));
    let [value @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *full.expose_for_wrapping();
    Kcv::new(value)
}

/// The key that seals values of a module's tablespace in the partition of `data`.
pub fn value_key(data: &DataKey, module: &str, tablespace: &str) -> ValueKey {
    let info = LenPrefixed::new(labels::VALUE_KEY).field(module.as_bytes()).field(tablespace.as_bytes());
    ValueKey::from_secret(hkdf(data, &info))
}

/// The key that makes name tokens (`TK`) of one index of a module's tablespace.
pub fn name_key(names: &NameKey, module: &str, tablespace: &str, index: &str) -> TokenKey {
    let info = LenPrefixed::new(labels::TOKEN_KEY)
        .field(module.as_bytes())
        .field(tablespace.as_bytes())
        .field(index.as_bytes());
    TokenKey::from_secret(hkdf(names, &info))
}

/// The key that seals an import blob to the one TPM which recovers `secret` from a credential.
pub fn credential_wrap_key(secret: &Secret32, context: &[u8]) -> WrapKey {
    wrap_key(secret, LenPrefixed::new(labels::CREDENTIAL_WRAP_KEY).field(context))
}

/// The key that seals one kind of the registry's own secrets, such as `ca/workload`.
pub fn registry_secret_key(crk: &Crk, kind: &str) -> WrapKey {
    wrap_key(crk, LenPrefixed::new(labels::REGISTRY_SECRET_KEY).field(kind.as_bytes()))
}

/// The key that seals this process's consensus log.
pub fn log_key(local: &LocalKey) -> WrapKey {
    wrap_key(local, LenPrefixed::new(labels::LOG_KEY))
}

/// The key that seals this process's snapshots on disk.
pub fn snapshot_key(local: &LocalKey) -> WrapKey {
    wrap_key(local, LenPrefixed::new(labels::SNAPSHOT_KEY))
}

/// The key that seals what this process remembers of its TPM's counter.
pub fn checkpoint_key(local: &LocalKey) -> WrapKey {
    wrap_key(local, LenPrefixed::new(labels::CHECKPOINT_KEY))
}

/// The key that seals list cursors handed to clients. It is the slot's for ever, so that any replica, of this group or the next, goes on with
/// a listing.
pub fn cursor_key(locator: &LocatorKey) -> WrapKey {
    wrap_key(locator, LenPrefixed::new(labels::CURSOR_KEY))
}

fn wrap_key(key: &impl SecretKey, info: LenPrefixed) -> WrapKey {
    WrapKey::from_secret(hkdf(key, &info))
}

fn hkdf(key: &impl SecretKey, info: &LenPrefixed) -> Secret32 {
    let mut derived = Secret32::zeroed();
    expand(None, key.expose_for_wrapping(), info.as_bytes(), derived.bytes_mut());
    derived
}

#[expect(
    clippy::expect_used,
    reason = "HKDF-SHA-256 refuses only outputs above 8,160 bytes; callers ask for at most 42"
)]
fn expand(salt: Option<&[u8]>, key: &[u8], info: &[u8], out: &mut [u8]) {
    Hkdf::<Sha256>::new(salt, key).expand(info, out).expect("output is short");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hkdf_matches_rfc_5869_case_1() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut okm = [0; 42];
        expand(Some(&salt), &[0x0b; 22], &info, &mut okm);
        assert_eq!(
            hex::encode(okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }

    #[test]
    fn every_input_separates_value_keys() {
        let key = |data: [u8; 32], module, tablespace| {
            value_key(&DataKey::from_bytes(data), module, tablespace).kcv()
        };
        let keys = [
            key([1; 32], "files", "names"),
            key([2; 32], "files", "names"),
            key([1; 32], "chat", "names"),
            key([1; 32], "files", "bodies"),
            key([1; 32], "filesn", "ames"),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn keys_of_equal_bytes_differ_by_purpose() {
        let local = LocalKey::from_bytes([3; 32]);
        let locator = LocatorKey::from_bytes([3; 32]);
        let keys = [log_key(&local), snapshot_key(&local), checkpoint_key(&local), cursor_key(&locator)];
        let distinct: std::collections::BTreeSet<_> = keys.iter().map(WrapKey::kcv).collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn a_check_value_never_changes() {
        let hex = include_str!("../frozen/kcv-1.hex").trim();
        assert_eq!(kcv(&crate::Dmk::from_bytes([0x42; 32])).to_string(), hex);
    }
}
