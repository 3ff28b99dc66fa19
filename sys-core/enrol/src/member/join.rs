//! Filling a data folder by a join.

use std::path::Path;

use holdfast_domain::{NodeRole, PendingId, RootHash};
use holdfast_keys::Secret32;

use super::{MemberError, files};
use crate::{
    attested::{self, Granted, JoinRequest, Joined},
    folder::{Folder, Settings},
    machine::{LISTENER_KEY, LOCAL_KEY, Machine},
};

/// How to enrol.
pub struct Enrolment<'a> {
    /// The data folder, to be made.
    pub data: &'a Path,
    /// The role.
    pub role: NodeRole,
    /// TCTI of the TPM.
    pub tpm: &'a str,
    /// Socket to listen on.
    pub listen: &'a str,
    /// Where others reach it.
    pub advertise: &'a str,
    /// Registry members to ask.
    pub registries: &'a [String],
    /// Failure domain; may be empty.
    pub zone: &'a str,
    /// The root to pin.
    pub root: RootHash,
    /// A one-time ticket.
    pub ticket: Option<&'a Secret32>,
    /// EK intermediates that the TPM does not hold, DER.
    pub ek_chain: Vec<Vec<u8>>,
    /// Wait for an operator's approval, and tell which join waits.
    pub wait: Option<&'a (dyn Fn(PendingId) + Sync)>,
}

/// Joins and fills the folder. The folder is somebody's only once everything is in it, so a failed join can be repeated.
///
/// # Errors
/// See [`MemberError`].
pub async fn enrol(options: Enrolment<'_>) -> Result<(Folder, Machine, Box<Granted>), MemberError> {
    let Enrolment { data, role, tpm, listen, advertise, registries, zone, root, ticket, ek_chain, wait } =
        options;
    Folder::check_new(data)?;
    let machine = Machine::open(tpm, data.join("tpm"), ek_chain).await?;
    let (listener, listener_secret) = Machine::new_listener()?;
    let queue = wait.is_some();
    let request =
        JoinRequest { machine: &machine, listener: &listener, role, advertise, node: None, ticket, queue };
    let granted = until_granted(registries, root, &request, wait).await?;

    let settings = Settings {
        cluster: granted.genesis.cluster,
        root,
        node: granted.node,
        role,
        ek: machine.ek(),
        replica: granted.replica,
        tpm: tpm.to_owned(),
        listen: listen.to_owned(),
        advertise: advertise.to_owned(),
        registries: registries.to_vec(),
        zone: zone.to_owned(),
    };
    let folder = Folder::create(data, settings)?;
    let proof = machine.proof(&granted.genesis, role, &granted.approvals).await?;
    machine.seal(&folder, LISTENER_KEY, &listener_secret, &proof).await?;
    machine
        .seal(&folder, LOCAL_KEY, &Secret32::generate().map_err(crate::machine::MachineError::from)?, &proof)
        .await?;
    keep(&folder, &granted)?;
    folder.seal_in()?;
    Ok((folder, machine, granted))
}

/// Writes what a grant says to `identity/`.
pub(super) fn keep(folder: &Folder, granted: &Granted) -> Result<(), MemberError> {
    folder.put(files::BUNDLE, &granted.bundle)?;
    folder.put(files::GENESIS, &granted.signed_genesis)?;
    super::remember(folder, &super::genuine(&granted.genesis, &granted.approvals)?)?;
    folder.put(files::VOTERS, &granted.voters)?;
    folder.put(files::TLS_CHAIN, &granted.tls_chain)?;
    Ok(folder.put(files::LISTENER_CHAIN, &granted.listener_chain)?)
}

async fn until_granted(
    registries: &[String],
    root: RootHash,
    request: &JoinRequest<'_>,
    wait: Option<&(dyn Fn(PendingId) + Sync)>,
) -> Result<Box<Granted>, MemberError> {
    let mut told = None;
    loop {
        match attested::join(registries, root, request).await? {
            Joined::Granted(granted) => return Ok(granted),
            Joined::Pending { id, retry_after } => {
                let tell = wait.ok_or(MemberError::Pending(id))?;
                if told != Some(id) {
                    tell(id);
                    told = Some(id);
                }
                tokio::time::sleep(retry_after).await;
            }
        }
    }
}
