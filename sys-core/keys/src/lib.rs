//! Keys: their types, labels and derivations, the one AEAD, keyrings, recovery and signing.
//!
//! Invariants: a secret is zeroized when dropped, cannot be cloned, compared, printed or serialized by accident, and leaves its
//! type only through a named function. Each derived key and each signature has its own label, all of them in [`labels`].
//! No other crate names an AEAD.

pub mod aead;
pub mod client;
pub mod custody;
pub mod derive;
pub mod devices;
mod entropy;
mod fixed_bytes;
pub mod hash;
pub mod keyring;
pub mod labels;
pub mod login;
pub mod mac;
pub mod one_time;
pub mod p256_public;
pub mod recovery;
pub mod registration;
pub mod secret;
pub mod secret_file;
pub mod session;
pub mod share;
pub mod sign;
pub mod transfer;

pub use aead::{AeadError, AeadKey};
pub use client::{ClientKey, ClientPublic};
pub use entropy::{EntropyError, random_array};
pub use hash::LenPrefixed;
pub use holdfast_domain::{Kcv, KeyGeneration, Signature64, SpkiHash};
pub use keyring::{PartitionKeyring, SlotKeyring};
pub use labels::Label;
pub use login::SignIn;
pub use one_time::{OneTime, OneTimeKind};
pub use p256_public::P256Public;
pub use recovery::{RecoveryPublic, RecoverySecret};
pub use registration::{Registration, Renewal};
pub use secret::{
    Crk, DataKey, DigestKey, Dmk, FileKey, LocalKey, LocatorKey, NameKey, Secret32, SecretKey, SlotKey,
    TokenKey, ValueKey, WrapKey,
};
pub use session::{SessionBinding, SessionOpening, SessionRequest};
pub use share::Share;
pub use sign::{SignError, Signer, SoftSigner, sign_labelled, sign_value, verify_value};
pub use transfer::{TransferPublic, TransferSecret};
