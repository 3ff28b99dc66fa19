//! The machine itself: its TPM, opened and checked against the data folder, and the keys that it unseals.

use std::{path::PathBuf, sync::Arc};

use holdfast_domain::{ClusterId, EkHash, Genesis, NodeId, NodeRole, PcrApproval, PcrValue};
use holdfast_keys::{EntropyError, Secret32, SoftSigner, sign::PrivateKeyError};
use holdfast_tpm_node::{NodeKeys, PcrPolicyProof, ProvisionOptions, Tpm, TpmError, TpmSigner};
use holdfast_tpm_verify::{Malformed, PolicyKey};

use crate::{
    folder::{Folder, FolderError, Settings},
    member::files,
};

/// Name of the sealed key that everything local is encrypted under.
pub const LOCAL_KEY: &str = "local.key";
/// Name of the sealed listener key.
pub const LISTENER_KEY: &str = "listener.key";

/// Why a machine cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The TPM.
    #[error("the TPM at {tcti}")]
    Tpm {
        /// Where it is.
        tcti: String,
        /// What went wrong.
        #[source]
        source: TpmError,
    },
    /// The folder is sealed to another TPM.
    #[error(
        "tpm_swapped: the data folder {} belongs to the TPM with EK {expected}, and the one at {tcti} has EK {actual}: \
         put the right TPM back, or join as a new machine with an empty folder",
        folder.display()
    )]
    Swapped {
        /// The data folder.
        folder: PathBuf,
        /// Where the TPM is.
        tcti: String,
        /// EK in the folder.
        expected: EkHash,
        /// EK of the TPM.
        actual: EkHash,
    },
    /// What the folder says about itself is not this machine's.
    #[error(
        "{}: `node` or `cluster` is wrong: in cluster {cluster} this machine is node {actual}, not {expected}. \
         Restore the file from a backup, or join again with an empty folder",
        path.display()
    )]
    OtherNode {
        /// The folder's description.
        path: PathBuf,
        /// The cluster in it.
        cluster: ClusterId,
        /// The node in it.
        expected: NodeId,
        /// The node that this machine is.
        actual: NodeId,
    },
    /// The TPM does not open what the folder keeps sealed.
    #[error(
        "{} does not open in the TPM at {tcti}: it is damaged or another machine's: \
         restore it from a backup, or remove the folder and join again",
        path.display()
    )]
    Sealed {
        /// The sealed key.
        path: PathBuf,
        /// Where the TPM is.
        tcti: String,
        /// The TPM's answer.
        #[source]
        source: TpmError,
    },
    /// No approval fits the PCRs.
    #[error(
        "pcr_not_approved: this machine booted with {values}, and no operator approved that for role {role}: \
         after a planned update run `holdfast pcr approve --role {role} {values}`; otherwise the boot chain was changed"
    )]
    NotApproved {
        /// The role.
        role: NodeRole,
        /// The values, as the command line takes them.
        values: String,
    },
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A sealed key is missing.
    #[error("the sealed key {0} is missing: the data folder is damaged; remove it and join again")]
    Missing(String),
    /// The genesis record's policy key is none.
    #[error("the PCR policy key of the genesis record")]
    PolicyKey(#[source] Malformed),
    /// No randomness.
    #[error("cannot make a key")]
    Entropy(#[from] EntropyError),
    /// The listener key is out of range.
    #[error("the sealed listener key is no P-256 key")]
    Listener(#[from] PrivateKeyError),
}

/// A machine with its TPM provisioned. Cheap to clone.
#[derive(Clone)]
pub struct Machine {
    tpm: Tpm,
    keys: Arc<NodeKeys>,
}

impl Machine {
    /// Opens the TPM and sets its keys up, or finds them again; `keys_dir` keeps the blob of the TLS key.
    ///
    /// # Errors
    /// [`MachineError::Tpm`].
    pub async fn open(tcti: &str, keys_dir: PathBuf, ek_chain: Vec<Vec<u8>>) -> Result<Self, MachineError> {
        let failed = |source| MachineError::Tpm { tcti: tcti.to_owned(), source };
        let tpm = Tpm::open(tcti).map_err(failed)?;
        let mut options = ProvisionOptions::new(keys_dir);
        options.extra_chain = ek_chain;
        let keys = tpm.provision(options).await.map_err(failed)?;
        Ok(Self { tpm, keys: Arc::new(keys) })
    }

    /// The EK of a TPM, without making the machine a member of anything.
    ///
    /// # Errors
    /// [`MachineError::Tpm`].
    pub async fn peek(tcti: &str) -> Result<EkHash, MachineError> {
        let name: [u8; 8] = holdfast_keys::random_array()?;
        let scratch = std::env::temp_dir().join(format!("holdfast-ek-{}", hex::encode(name)));
        let opened = Self::open(tcti, scratch.clone(), Vec::new()).await;
        // Holds nothing but the blob of a key that nobody will use.
        let _ = std::fs::remove_dir_all(scratch);
        Ok(opened?.ek())
    }

    /// Opens the TPM of a data folder and checks that it is the one the folder belongs to.
    ///
    /// # Errors
    /// [`MachineError::Tpm`], [`MachineError::Swapped`], [`MachineError::OtherNode`].
    pub async fn of_folder(folder: &Folder) -> Result<Self, MachineError> {
        let Settings { tpm: tcti, ek, node, cluster, .. } = folder.settings();
        let opened = Self::open(tcti, folder.part("tpm"), Vec::new()).await;
        // The blob of the TLS key opens in its own TPM only, so another one is noticed here at the latest.
        let machine = match opened {
            Ok(machine) => machine,
            Err(error) => return Err(swapped_behind(error, folder, tcti, *ek).await),
        };
        let actual = machine.ek();
        if actual != *ek {
            let (folder, expected) = (folder.path().to_owned(), *ek);
            return Err(MachineError::Swapped { folder, tcti: tcti.clone(), expected, actual });
        }
        let actual = machine.node_id(*cluster);
        if actual != *node {
            let (path, cluster, expected) = (folder.settings_file(), *cluster, *node);
            return Err(MachineError::OtherNode { path, cluster, expected, actual });
        }
        Ok(machine)
    }

    /// The TPM.
    pub fn tpm(&self) -> &Tpm {
        &self.tpm
    }

    /// Public side of its keys.
    pub fn keys(&self) -> &NodeKeys {
        &self.keys
    }

    /// How operators name this machine.
    pub fn ek(&self) -> EkHash {
        self.keys.ek.hash()
    }

    /// Its id in a cluster.
    pub fn node_id(&self, cluster: ClusterId) -> NodeId {
        self.keys.ek.node_id(cluster)
    }

    /// Signs with the TPM's TLS key. Blocks: never on an async thread.
    pub fn signer(&self) -> TpmSigner {
        TpmSigner::new(self.tpm.clone(), &self.keys)
    }

    /// The current values of the cluster's PCRs.
    ///
    /// # Errors
    /// [`MachineError::Tpm`].
    pub async fn pcrs(&self, genesis: &Genesis) -> Result<Vec<PcrValue>, MachineError> {
        self.tpm.pcr_values(&genesis.pcr_selection).await.map_err(|source| self.failed(source))
    }

    /// The approval of the newest policy epoch that fits how this machine booted, checked.
    ///
    /// # Errors
    /// [`MachineError::NotApproved`] with the values to approve.
    pub async fn proof(
        &self,
        genesis: &Genesis,
        role: NodeRole,
        approvals: &[PcrApproval],
    ) -> Result<PcrPolicyProof, MachineError> {
        let pcrs = self.pcrs(genesis).await?;
        let key = PolicyKey::new(&genesis.pcr_policy_key).map_err(MachineError::PolicyKey)?;
        approvals
            .iter()
            .filter(|approval| approval.role == role && approval.pcrs == pcrs)
            .filter_map(|approval| key.verify(genesis.cluster, approval).ok())
            .max_by_key(PcrPolicyProof::policy_epoch)
            .ok_or_else(|| MachineError::NotApproved { role, values: print_pcrs(&pcrs) })
    }

    /// Opens a key that the folder keeps sealed.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub async fn unseal(
        &self,
        folder: &Folder,
        name: &str,
        proof: &PcrPolicyProof,
    ) -> Result<Secret32, MachineError> {
        let blob = folder.sealed(name)?.ok_or_else(|| MachineError::Missing(name.to_owned()))?;
        let refused = match self.tpm.unseal(blob.clone(), proof.clone()).await {
            Ok(secret) => return Ok(secret),
            Err(error) => error,
        };
        // Sealed under an earlier policy epoch, perhaps.
        for earlier in earlier_proofs(folder, proof)? {
            if let Ok(secret) = self.tpm.unseal(blob.clone(), earlier).await {
                return Ok(secret);
            }
        }
        let (path, tcti) = (folder.part("sealed").join(name), self.tpm.tcti().to_owned());
        Err(match refused {
            TpmError::Refused { .. } | TpmError::Malformed { .. } => {
                MachineError::Sealed { path, tcti, source: refused }
            }
            source => self.failed(source),
        })
    }

    /// Seals a key to this TPM and keeps the blob in the folder, durably.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub async fn seal(
        &self,
        folder: &Folder,
        name: &str,
        secret: &Secret32,
        proof: &PcrPolicyProof,
    ) -> Result<(), MachineError> {
        let copy = Secret32::from_bytes(*secret.expose_for_wrapping());
        let blob = self.tpm.seal_local(copy, proof).await.map_err(|source| self.failed(source))?;
        Ok(folder.put_sealed(name, &blob)?)
    }

    /// A new listener key, with the secret to seal.
    ///
    /// # Errors
    /// No randomness.
    pub fn new_listener() -> Result<(SoftSigner, Secret32), MachineError> {
        let secret = Secret32::generate()?;
        Ok((SoftSigner::from_scalar(&secret)?, secret))
    }

    /// The listener key that the folder keeps sealed.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub async fn listener(
        &self,
        folder: &Folder,
        proof: &PcrPolicyProof,
    ) -> Result<SoftSigner, MachineError> {
        Ok(SoftSigner::from_scalar(&self.unseal(folder, LISTENER_KEY, proof).await?)?)
    }

    fn failed(&self, source: TpmError) -> MachineError {
        MachineError::Tpm { tcti: self.tpm.tcti().to_owned(), source }
    }
}

/// What else the folder's approvals prove. Whether one opens a key is the TPM's to say, so nothing of it needs to be believed here.
fn earlier_proofs(folder: &Folder, newest: &PcrPolicyProof) -> Result<Vec<PcrPolicyProof>, FolderError> {
    let approvals: Vec<PcrApproval> = folder.get(files::APPROVALS)?.unwrap_or_default();
    let cluster = folder.settings().cluster;
    let proofs = approvals.iter().filter_map(|approval| newest.key().verify(cluster, approval).ok());
    Ok(proofs.filter(|proof| proof.role() == newest.role() && proof != newest).collect())
}

/// Looks whether a TPM refuses because it is another one.
async fn swapped_behind(error: MachineError, folder: &Folder, tcti: &str, expected: EkHash) -> MachineError {
    let (folder, tcti) = (folder.path().to_owned(), tcti.to_owned());
    match Machine::peek(&tcti).await {
        Ok(actual) if actual != expected => MachineError::Swapped { folder, tcti, expected, actual },
        _ => error,
    }
}

/// PCR values as `holdfast pcr approve` takes them: `7=HEX 11=HEX`.
pub fn print_pcrs(pcrs: &[PcrValue]) -> String {
    let one = |value: &PcrValue| format!("{}={}", value.index, hex::encode(value.digest));
    pcrs.iter().map(one).collect::<Vec<_>>().join(" ")
}
