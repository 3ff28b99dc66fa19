//! The record that begins a cluster, signed by its root key, which is sealed away right after.

use serde::{Deserialize, Serialize};

use crate::{
    ClusterId, NodeId, NodeRole, OperatorName, PcrSelection, PcrValue, PolicyEpoch, RootHash, Signature64,
    TrustDomain, UnixMs, hex_id::hex_id,
};

hex_id!(
    /// X25519 public half of the officers' recovery key.
    RecoveryKey, 32
);

/// Affine coordinates of a P-256 public key, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct P256Point {
    /// x.
    pub x: [u8; 32],
    /// y.
    pub y: [u8; 32],
}

impl std::fmt::Debug for P256Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("P256Point(")?;
        self.x.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}

/// Which TPMs a cluster admits. Immutable: part of the genesis record, never a configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TpmPolicy {
    /// Only TPMs whose EK chains to a configured hardware root.
    HardwareOnly,
    /// Software TPMs too: for demonstrations and tests.
    AdmitsVirtual,
}

/// An operator and the key that signs in its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorKey {
    /// The operator.
    pub name: OperatorName,
    /// Verifies the operator's signatures.
    pub key: P256Point,
}

/// The beginning of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Trust domain of all identities.
    pub trust_domain: TrustDomain,
    /// When.
    pub created: UnixMs,
    /// Pin of the root certificate whose key signs this record.
    pub root: RootHash,
    /// The machine of the first voter.
    pub founder: NodeId,
    /// Which TPMs may ever join.
    pub tpm_policy: TpmPolicy,
    /// Roots that EK certificates chain to, DER.
    pub ek_roots: Vec<Vec<u8>>,
    /// PCRs that every quote covers and every sealed key is bound to.
    pub pcr_selection: PcrSelection,
    /// Verifies PCR approvals; its private half is the operators'.
    pub pcr_policy_key: P256Point,
    /// Seals keys for the officers.
    pub recovery: RecoveryKey,
    /// Shares that open the recovery key.
    pub recovery_threshold: u8,
    /// Shares that exist.
    pub recovery_shares: u8,
    /// The first operators.
    pub operators: Vec<OperatorKey>,
    /// How many of them must sign.
    pub operator_threshold: u8,
    /// Verifies shard maps.
    pub map_key: P256Point,
}

/// A boot state that the PCR policy key approved for a role (TPM 2.0 part 3, TPM2_PolicyAuthorize).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcrApproval {
    /// For machines of this role.
    pub role: NodeRole,
    /// Void once the cluster's policy epoch is higher.
    pub policy_epoch: PolicyEpoch,
    /// The PCRs.
    pub selection: PcrSelection,
    /// Their approved values, in the selection's order.
    pub pcrs: Vec<PcrValue>,
    /// ECDSA P-256 over `SHA-256(approvedPolicy ‖ policyRef)`, as a TPM checks it.
    pub signature: Signature64,
}

/// Largest encoded [`Genesis`] that anyone accepts, in bytes.
pub const MAX_GENESIS: usize = 64 * 1024;
