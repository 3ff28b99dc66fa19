//! Policy digests, computed as a TPM computes them (TPM 2.0 part 3, chapter 23), SHA-256.

use holdfast_domain::{ClusterId, NodeRole, PcrSelection, PcrValue, PolicyEpoch};

use crate::alg::sha256;
use crate::name::Name;
use crate::pcr;
use crate::prefixed::sha256_prefixed;
use crate::wire::Malformed;

const CC_POLICY_AUTHORIZE: u32 = 0x0000_016a;
const CC_POLICY_COMMAND_CODE: u32 = 0x0000_016c;
const CC_POLICY_PCR: u32 = 0x0000_017f;
/// `TPM_CC_Unseal`.
pub const CC_UNSEAL: u32 = 0x0000_015e;

/// A policy digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest([u8; 32]);

/// `policyRef`: what an approval is for, besides the boot state itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRef([u8; 32]);

impl PolicyDigest {
    /// Where every policy session starts.
    pub(crate) const START: Self = Self([0; 32]);

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// This policy, and only for one command.
    #[must_use]
    pub fn and_command(self, code: u32) -> Self {
        self.extend(CC_POLICY_COMMAND_CODE, &[&code.to_be_bytes()])
    }

    fn extend(self, command: u32, arguments: &[&[u8]]) -> Self {
        let command = command.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&self.0, &command];
        parts.extend_from_slice(arguments);
        Self(sha256(&parts))
    }
}

impl PolicyRef {
    /// The reference's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `PolicyPCR` over these values: what an approval approves.
///
/// # Errors
/// `values` is not exactly the selection, in its order.
pub fn pcr_policy(selection: &PcrSelection, values: &[PcrValue]) -> Result<PolicyDigest, Malformed> {
    let digest = pcr::digest(selection, values)?;
    Ok(PolicyDigest::START.extend(CC_POLICY_PCR, &[&pcr::selection_to_tpm(selection), &digest]))
}

/// `PolicyAuthorize`: whatever the holder of `key` approves for `reference`. Keys are sealed under this.
#[must_use]
pub fn authorize_policy(key: &Name, reference: &PolicyRef) -> PolicyDigest {
    let keyed = PolicyDigest::START.extend(CC_POLICY_AUTHORIZE, &[key.as_bytes()]);
    PolicyDigest(sha256(&[&keyed.0, &reference.0]))
}

/// The `policyRef` of a role in a cluster at one policy epoch.
#[must_use]
pub fn policy_ref(cluster: ClusterId, role: NodeRole, epoch: PolicyEpoch) -> PolicyRef {
    let fields: [&[u8]; 4] =
        [b"policy-ref/v1", cluster.as_bytes(), role.as_str().as_bytes(), &epoch.0.to_be_bytes()];
    PolicyRef(sha256_prefixed(&fields))
}

impl std::fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PolicyDigest({})", hex::encode(self.0))
    }
}

impl std::fmt::Debug for PolicyRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PolicyRef({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_reference_and_its_policy_are_made_again() {
        // Computed independently from the definitions.
        let reference = policy_ref(ClusterId::new([1; 16]), NodeRole::Registry, PolicyEpoch(7));
        assert_eq!(
            hex::encode(reference.as_bytes()),
            "21f1f92a96fe715f3ad19682dac109e7fa5e4808d7cf06ad10bd196d3e5b68bb"
        );
        let key = Name::parse(&[&[0, 0x0b][..], &[5; 32]].concat()).unwrap();
        let policy = authorize_policy(&key, &reference);
        assert_eq!(
            hex::encode(policy.as_bytes()),
            "283ecab8579d04a73c8976e26434398fa7597cdf53f54518fe68f498c60dbd55"
        );
    }
}
