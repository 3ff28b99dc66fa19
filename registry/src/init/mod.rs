//! Making a cluster: its root, its keys, its first operator and its first voter.
//!
//! The root's private key lives only inside [`init`]: it signs two authorities and the genesis record, is sealed to the officers, and is
//! wiped. `folder.toml` is written last, after the first command is committed, so that an attempt that failed can be repeated.

mod credential;
mod found;
mod parts;
mod proof;
mod shares;

use std::path::{Path, PathBuf};

use holdfast_domain::{ClusterId, NodeId, OperatorName, PcrSelection, RootHash, TpmPolicy, TrustDomain};
use holdfast_enrol::{
    folder::{Folder, Settings},
    machine::Machine,
};
use holdfast_keys::random_array;
use holdfast_sys_core::Clock;

use self::found::Founding;

/// How to begin.
pub struct InitOptions<'a> {
    /// The data folder, to be made.
    pub data: &'a Path,
    /// TCTI of the TPM.
    pub tpm: &'a str,
    /// Socket to listen on.
    pub listen: &'a str,
    /// Where others reach it.
    pub advertise: &'a str,
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The first operator.
    pub operator: OperatorName,
    /// Directory for the operator's credential, to be made.
    pub credential: &'a Path,
    /// Directory for the officers' shares, to be made.
    pub shares: &'a Path,
    /// Shares to make.
    pub share_count: u8,
    /// Shares that open the recovery key.
    pub share_threshold: u8,
    /// PCRs that every quote covers.
    pub pcrs: PcrSelection,
    /// Which TPMs the cluster admits, for ever.
    pub tpm_policy: TpmPolicy,
    /// Roots that EK certificates chain to, DER.
    pub ek_roots: Vec<Vec<u8>>,
    /// EK intermediates that the TPM does not hold, DER.
    pub ek_chain: Vec<Vec<u8>>,
}

/// What was made.
#[derive(Debug)]
pub struct NewCluster {
    /// The cluster.
    pub cluster: ClusterId,
    /// What everyone pins.
    pub root: RootHash,
    /// The first voter.
    pub node: NodeId,
    /// Files of the officers' shares.
    pub shares: Vec<PathBuf>,
}

/// Why no cluster was made: in which step, and what refused.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct InitError {
    step: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl InitError {
    pub(crate) fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        step: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { step, source: source.into() }
    }
}

/// Makes a cluster.
///
/// # Errors
/// See [`InitError`].
pub async fn init(options: &InitOptions<'_>) -> Result<NewCluster, InitError> {
    Folder::check_new(options.data).map_err(InitError::at("the data folder"))?;
    credential::check_new(options.credential)?;
    shares::check_new(options.shares)?;
    let machine = Machine::open(options.tpm, options.data.join("tpm"), options.ek_chain.clone())
        .await
        .map_err(InitError::at("the TPM"))?;
    let cluster = ClusterId::new(random_array().map_err(InitError::at("drawing the cluster's id"))?);
    let node = machine.node_id(cluster);
    let (founding, keys) = Founding::prepare(options, &machine, cluster, Clock::system().now()).await?;

    let settings = Settings {
        cluster,
        root: founding.root,
        node,
        role: holdfast_domain::NodeRole::Registry,
        ek: machine.ek(),
        replica: Some(found::REPLICA),
        tpm: options.tpm.to_owned(),
        listen: options.listen.to_owned(),
        advertise: options.advertise.to_owned(),
        registries: vec![options.advertise.to_owned()],
        zone: String::new(),
    };
    let folder = Folder::create(options.data, settings).map_err(InitError::at("the data folder"))?;
    let root = founding.root;
    let shares = shares::write(options, &keys.recovery)?;
    credential::write(options, &founding, &keys)?;
    founding.commit(&folder, &machine, keys).await?;
    folder.seal_in().map_err(InitError::at("the data folder"))?;
    Ok(NewCluster { cluster, root, node, shares })
}
