//! A member of the cluster: a machine with a data folder that a join has filled, opened for serving.

mod approvals;
mod join;
mod renewal;
mod ticket;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_certs::{
    CertChain, Dialer, GenesisError, Identity, IdentityError, LiveIdentity, LiveTrust, TrustBundle,
};
use holdfast_domain::{ClusterId, Genesis, NodeRole, PcrApproval, RootHash, Signed, VoterEndpoint};
use holdfast_keys::{LocalKey, SoftSigner};
use holdfast_tpm_node::PcrPolicyProof;

use crate::{
    attested::JoinError,
    folder::{Folder, FolderError, Settings},
    machine::{LOCAL_KEY, Machine, MachineError},
};

pub use approvals::{genuine, remember};
pub use join::{Enrolment, enrol};
pub use renewal::keep_renewed;
pub use ticket::{TicketError, read_ticket};

/// Names of the files in `identity/`.
pub mod files {
    /// Chain of the TPM's TLS key.
    pub const TLS_CHAIN: &str = "identity/tls.chain";
    /// Chain of the listener key.
    pub const LISTENER_CHAIN: &str = "identity/listener.chain";
    /// The trust bundle.
    pub const BUNDLE: &str = "identity/bundle";
    /// The genesis record as signed.
    pub const GENESIS: &str = "identity/genesis";
    /// Approved boot states.
    pub const APPROVALS: &str = "identity/approvals";
    /// The registry's members.
    pub const VOTERS: &str = "identity/voters";
    /// Who is banned.
    pub const BANS: &str = "identity/bans";
    /// Who holds a role everywhere.
    pub const GLOBAL_ROLES: &str = "identity/global-roles";
    /// Log index of the registry at which bans, voters and approvals were so: a restart takes no older ones.
    pub const INDEX: &str = "identity/index";
    /// What the machine's TPM counted when the folder was last known to be the newest; nodes only.
    pub const CHECKPOINT: &str = "identity/checkpoint";
    /// The newest shard map as signed.
    pub const MAP: &str = "identity/map";
}

/// Why a member cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A file of `identity/` is missing.
    #[error("{0} is missing: the data folder is damaged; remove it and join again")]
    Missing(&'static str),
    /// The genesis record is not the root's.
    #[error("{}: restore it from a backup, or remove the folder and join again", .0.display())]
    Genesis(PathBuf, #[source] GenesisError),
    /// The genesis record is another cluster's.
    #[error(
        "{} is of cluster {cluster} with root {root}, and this folder of cluster {} with root {}: \
         put each back where it was, or restore them from a backup",
        path.display(), settings.cluster, settings.root
    )]
    OtherCluster {
        /// The record.
        path: PathBuf,
        /// Its cluster.
        cluster: ClusterId,
        /// Its root.
        root: RootHash,
        /// Whose the folder is.
        settings: Box<Settings>,
    },
    /// A chain and a key do not fit.
    #[error("{}: restore it from a backup, or remove the folder and join again", .0.display())]
    Identity(PathBuf, #[source] IdentityError),
    /// Waiting for approval, and not told to wait.
    #[error(
        "pending_approval: the join {0} waits for an operator: `holdfast node approve {0}`; then run this again, or use --wait"
    )]
    Pending(holdfast_domain::PendingId),
}

/// An opened member.
pub struct Member {
    /// Its data folder.
    pub folder: Arc<Folder>,
    /// Its machine.
    pub machine: Machine,
    /// The genesis record, checked.
    pub genesis: Genesis,
    /// The same as signed.
    pub signed_genesis: Signed<Genesis>,
    /// Opens what is sealed to the machine.
    pub proof: PcrPolicyProof,
    /// The in-memory listener key.
    pub listener: Arc<SoftSigner>,
    /// Shown to whoever connects, and to peers.
    pub listener_identity: LiveIdentity,
    /// The TPM's own identity, shown to the registry.
    pub tls_identity: LiveIdentity,
    /// What it trusts.
    pub trust: LiveTrust,
}

impl Member {
    /// Opens a data folder: checks its TPM, its boot state and its certificates.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn open(path: &Path, role: NodeRole) -> Result<Self, MemberError> {
        let folder = Folder::open(path, role)?;
        let bundle: TrustBundle = stored(&folder, files::BUNDLE)?;
        let signed_genesis: Signed<Genesis> = stored(&folder, files::GENESIS)?;
        let genesis = checked_genesis(&folder, &bundle, &signed_genesis)?;
        let approvals: Vec<PcrApproval> = stored(&folder, files::APPROVALS)?;
        let machine = Machine::of_folder(&folder).await?;
        let proof = machine.proof(&genesis, role, &approvals).await?;
        let listener = machine.listener(&folder, &proof).await?;
        let listener_chain: CertChain = stored(&folder, files::LISTENER_CHAIN)?;
        let tls_chain: CertChain = stored(&folder, files::TLS_CHAIN)?;
        let listener_identity = Identity::from_soft(listener_chain, &listener)
            .map_err(|source| MemberError::Identity(folder.part(files::LISTENER_CHAIN), source))?;
        let tls_identity = Identity::from_signer(tls_chain, Arc::new(machine.signer()))
            .map_err(|source| MemberError::Identity(folder.part(files::TLS_CHAIN), source))?;
        Ok(Self {
            listener: Arc::new(listener),
            listener_identity: LiveIdentity::new(listener_identity),
            tls_identity: LiveIdentity::new(tls_identity),
            trust: LiveTrust::new(bundle),
            folder: Arc::new(folder),
            machine,
            genesis,
            signed_genesis,
            proof,
        })
    }

    /// Who it is.
    pub fn settings(&self) -> &Settings {
        self.folder.settings()
    }

    /// The key that everything local is sealed under.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub async fn local_key(&self) -> Result<LocalKey, MachineError> {
        Ok(LocalKey::from_secret(self.machine.unseal(&self.folder, LOCAL_KEY, &self.proof).await?))
    }

    /// The registry's members as far as known: from the last view, and as configured.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn registry_addresses(&self) -> Result<Vec<String>, FolderError> {
        let voters: Vec<VoterEndpoint> = self.folder.get(files::VOTERS)?.unwrap_or_default();
        let mut addresses: Vec<_> = voters.into_iter().map(|voter| voter.address).collect();
        for configured in &self.settings().registries {
            if !addresses.contains(configured) {
                addresses.push(configured.clone());
            }
        }
        Ok(addresses)
    }

    /// Dials the registry with the TPM's identity.
    pub fn registry_dialer(&self) -> Dialer {
        Dialer::new(self.trust.clone(), Some(self.tls_identity.clone()))
    }

    /// Dials peers with the listener identity.
    pub fn peer_dialer(&self) -> Dialer {
        Dialer::new(self.trust.clone(), Some(self.listener_identity.clone()))
    }
}

/// The genesis record, if it is the root's and of the folder's cluster.
fn checked_genesis(
    folder: &Folder,
    bundle: &TrustBundle,
    signed: &Signed<Genesis>,
) -> Result<Genesis, MemberError> {
    let path = folder.part(files::GENESIS);
    let (settings, root) = (folder.settings(), bundle.root_hash());
    let verified = bundle.root().verify_genesis(signed);
    let genesis = verified.map_err(|source| MemberError::Genesis(path.clone(), source))?;
    if (genesis.cluster, root) == (settings.cluster, settings.root) {
        return Ok(genesis);
    }
    let settings = Box::new(settings.clone());
    Err(MemberError::OtherCluster { path, cluster: genesis.cluster, root, settings })
}

fn stored<T: serde::de::DeserializeOwned>(folder: &Folder, name: &'static str) -> Result<T, MemberError> {
    folder.get(name)?.ok_or(MemberError::Missing(name))
}
