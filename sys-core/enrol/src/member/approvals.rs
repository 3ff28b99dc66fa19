//! Approved boot states in the data folder.
//!
//! A key stays sealed under the policy epoch of its sealing. When operators raise the epoch, the older approvals that sealed it must not be lost,
//! or the machine could not open its own folder at the next start; so approvals are added and never taken away. That gives nobody anything: an
//! approval cannot be un-signed, and what a raised epoch protects is wrapped anew.

use holdfast_domain::{Genesis, PcrApproval};
use holdfast_tpm_verify::PolicyKey;

use super::files;
use crate::{
    folder::{Folder, FolderError},
    machine::MachineError,
};

/// Approvals kept; every planned update of a boot chain adds one.
const MAX_KEPT: usize = 1024;

/// The approvals that the operators' policy key signed for this cluster. Only these may be [`remember`]ed: a registry that made some up
/// could otherwise push out those that open this machine's keys.
///
/// # Errors
/// When the genesis record's policy key is none.
pub fn genuine(genesis: &Genesis, approvals: &[PcrApproval]) -> Result<Vec<PcrApproval>, MachineError> {
    let key = PolicyKey::new(&genesis.pcr_policy_key).map_err(MachineError::PolicyKey)?;
    let signed = approvals.iter().filter(|approval| key.verify(genesis.cluster, approval).is_ok());
    Ok(signed.cloned().collect())
}

/// Adds approvals to those that the folder has, the newest first.
///
/// # Errors
/// See [`FolderError`].
pub fn remember(folder: &Folder, approvals: &[PcrApproval]) -> Result<(), FolderError> {
    let known: Vec<PcrApproval> = folder.get(files::APPROVALS)?.unwrap_or_default();
    let mut kept = approvals.to_vec();
    kept.extend(known.iter().filter(|approval| !approvals.contains(approval)).cloned());
    kept.truncate(MAX_KEPT);
    if kept == known { Ok(()) } else { folder.put(files::APPROVALS, &kept) }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{
        ClusterId, NodeId, NodeRole, PcrSelection, PcrValue, PolicyEpoch, RecoveryKey, RootHash, TpmPolicy,
        UnixMs,
    };
    use holdfast_keys::{Signer as _, SoftSigner};
    use holdfast_tpm_verify::approval::approval_message;

    use super::*;

    const CLUSTER: ClusterId = ClusterId::new([1; 16]);

    fn genesis(policy: &SoftSigner) -> Genesis {
        Genesis {
            cluster: CLUSTER,
            trust_domain: "test".parse().unwrap(),
            created: UnixMs(1),
            root: RootHash::new([2; 32]),
            founder: NodeId::new([3; 16]),
            tpm_policy: TpmPolicy::AdmitsVirtual,
            ek_roots: Vec::new(),
            pcr_selection: PcrSelection::try_from(vec![7]).unwrap(),
            pcr_policy_key: policy.public().to_point(),
            recovery: RecoveryKey::new([4; 32]),
            recovery_threshold: 1,
            recovery_shares: 1,
            operators: Vec::new(),
            operator_threshold: 1,
            map_key: policy.public().to_point(),
        }
    }

    fn approval(signer: &SoftSigner) -> PcrApproval {
        let (role, policy_epoch) = (NodeRole::Node, PolicyEpoch(1));
        let selection = PcrSelection::try_from(vec![7]).unwrap();
        let pcrs = vec![PcrValue { index: 7, digest: [1; 32] }];
        let message = approval_message(CLUSTER, role, policy_epoch, &selection, &pcrs).unwrap();
        PcrApproval { role, policy_epoch, selection, pcrs, signature: signer.sign(&message).unwrap() }
    }

    #[test]
    fn approvals_that_the_policy_key_did_not_sign_are_not_kept() {
        let (policy, stranger) = (SoftSigner::generate().unwrap(), SoftSigner::generate().unwrap());
        let good = approval(&policy);
        let told = [approval(&stranger), good.clone()];
        assert_eq!(genuine(&genesis(&policy), &told).unwrap(), [good]);
    }
}
