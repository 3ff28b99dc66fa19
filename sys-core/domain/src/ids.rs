//! One newtype for each identifier, so that no two can be swapped.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{access::HomeId, hex_id::hex_id};

/// A text or byte string that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {len} bytes, in text {} hex digits", len * 2)]
pub struct IdError {
    kind: &'static str,
    len: usize,
}

impl IdError {
    pub(crate) const fn new(kind: &'static str, len: usize) -> Self {
        Self { kind, len }
    }
}

hex_id!(
    /// A cluster, drawn at random by its genesis.
    ClusterId, 16
);
hex_id!(
    /// A machine for ever: `SHA-256(cluster ‖ EK SPKI)[..16]`, see [`NodeId::derive`].
    NodeId, 16
);
hex_id!(
    /// An account, the usual home of data; random, made by the client.
    AccountId, 16
);
hex_id!(
    /// One client key (a device of an account); random, made by the client.
    ClientId, 16
);
hex_id!(
    /// A join waiting for an operator's approval.
    PendingId, 16
);
hex_id!(
    /// One upload of one file, from begin to commit.
    UploadId, 16
);
hex_id!(
    /// One stored content.
    FileId, 16
);
hex_id!(
    /// Identifies a command across retries.
    CommandId, 16
);
hex_id!(
    /// SHA-256 of a certificate's SubjectPublicKeyInfo in DER.
    SpkiHash, 32
);
hex_id!(
    /// SHA-256 of the cluster root certificate in DER: what everybody pins.
    RootHash, 32
);
hex_id!(
    /// A SHA-256 of anything else.
    Sha256Hash, 32
);
hex_id!(
    /// A key check value: `HKDF(key, "kcv")`.
    Kcv, 16
);

impl NodeId {
    /// The identity that a TPM has in a cluster, whatever disk it boots.
    pub fn derive(cluster: ClusterId, ek_spki_der: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(cluster.as_bytes()).chain_update(ek_spki_der).finalize();
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self::new(id)
    }
}

impl Sha256Hash {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::new(Sha256::digest(bytes).into())
    }
}

impl RootHash {
    /// The pin of a root certificate.
    pub fn of_der(der: &[u8]) -> Self {
        Self::new(Sha256::digest(der).into())
    }
}

impl SpkiHash {
    /// The hash of a SubjectPublicKeyInfo.
    pub fn of_der(der: &[u8]) -> Self {
        Self::new(Sha256::digest(der).into())
    }
}

/// Defines a numeric identifier.
macro_rules! number_id {
    ($(#[$meta:meta])* $name:ident, $int:ty) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $int);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number_id!(
    /// A Raft group. 0 is the registry's own.
    GroupId, u32
);
number_id!(
    /// One incarnation of one replica of one group; never reused.
    ReplicaId, u64
);
number_id!(
    /// A generation of a key.
    KeyGeneration, u32
);
number_id!(
    /// Version of the whole shard map; grows with every change.
    MapEpoch, u64
);
number_id!(
    /// Version of one group's slots and replicas; does not move with leaders.
    ShardEpoch, u64
);
number_id!(
    /// Grows when a cluster is restored from a backup; epochs are ordered within a lineage only.
    Lineage, u32
);
number_id!(
    /// Version of the PCR policy: raised to revoke approvals.
    PolicyEpoch, u32
);

impl GroupId {
    /// The registry's own group.
    pub const REGISTRY: Self = Self(0);
}

/// One of [`Slot::COUNT`] hash slots over which homes are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Slot(u16);

impl Slot {
    /// Number of slots in a cluster.
    pub const COUNT: u16 = 4096;

    /// The slot of a home: the top 12 bits of `SHA-256("slot/v1" ‖ cluster ‖ home)`.
    pub fn of_home(cluster: ClusterId, home: impl Into<HomeId>) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(b"slot/v1")
            .chain_update(cluster.as_bytes())
            .chain_update(home.into().as_bytes())
            .finalize()
            .into();
        let [high, low, ..] = digest;
        Self(u16::from_be_bytes([high, low]) >> 4)
    }

    /// The slot's number, below [`Slot::COUNT`].
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// A slot number that is not below [`Slot::COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slot {0} does not exist: slots are 0 to {last}", last = Slot::COUNT - 1)]
pub struct SlotError(u16);

impl TryFrom<u16> for Slot {
    type Error = SlotError;

    fn try_from(number: u16) -> Result<Self, SlotError> {
        if number < Self::COUNT { Ok(Self(number)) } else { Err(SlotError(number)) }
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> u16 {
        slot.0
    }
}

/// Where a client's data lives and how much of it there may be, as the registry certified it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Home {
    /// The account.
    pub account: AccountId,
    /// Bytes that the account may store.
    pub quota_bytes: u64,
}

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// This moment plus a span; saturates.
    #[must_use]
    pub const fn plus_ms(self, span_ms: u64) -> Self {
        Self(self.0.saturating_add(span_ms))
    }

    /// Milliseconds since `earlier`; 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_top_twelve_bits_of_the_labelled_hash() {
        let slot = Slot::of_home(ClusterId::new([1; 16]), AccountId::new([2; 16]));
        let digest = Sha256::digest([b"slot/v1".as_slice(), &[1; 16], &[2; 16]].concat());
        assert_eq!(slot.number(), (u16::from(digest[0]) << 4) | u16::from(digest[1] >> 4));
    }

    #[test]
    fn hex_identifiers_read_back_and_refuse_other_lengths() {
        let id = NodeId::new([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("abcd".parse::<NodeId>().is_err());
    }

    #[test]
    fn a_slot_past_the_last_is_refused() {
        assert!(Slot::try_from(4095).is_ok());
        assert!(Slot::try_from(4096).is_err());
    }
}
