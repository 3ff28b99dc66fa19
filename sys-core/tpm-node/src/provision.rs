//! Setting up the node's keys in the TPM, the same ones on every start.
//!
//! EK, AK and SRK are primaries: derived from the TPM's seeds, so the same template always gives the same key. They are
//! made persistent because deriving an RSA key takes seconds on a chip. The TLS key is random and lies as a blob under
//! the SRK in the keys directory.

use std::path::PathBuf;

use holdfast_tpm_verify::roles::RoleError;
use holdfast_tpm_verify::{AkPublic, EkPublic, Malformed, Name, Public, SrkPublic, TlsPublic};
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use tss_esapi::structures::Public as TssPublic;
use tss_esapi::traits::Marshall;

use crate::actor::{Device, Priority, Tpm};
use crate::blob::SealedBlob;
use crate::error::{JobError, TpmError};
use crate::{ek_certificate, templates, tls_key};

/// Where our AK lives: within the range of the endorsement hierarchy, away from the TCG's own assignments.
const AK_HANDLE: u32 = 0x8101_4801;
/// Where our SRK lives: within the range of the owner hierarchy. Not 0x81000001, which systems fill with an RSA key.
const SRK_HANDLE: u32 = 0x8100_4801;

/// Which endorsement key to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EkKind {
    /// TCG template L-1.
    Rsa2048,
    /// TCG template L-2.
    EccP256,
    /// TCG template H-3.
    EccP384,
}

impl EkKind {
    /// In the order in which certificates are looked for. The node id hangs on the EK, so this order must never change.
    const PREFERENCE: [Self; 3] = [Self::Rsa2048, Self::EccP256, Self::EccP384];

    /// Where the TCG puts it.
    fn handle(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x8101_0001,
            Self::EccP256 => 0x8101_0002,
            Self::EccP384 => 0x8101_0016,
        }
    }
}

/// How to provision.
#[derive(Clone, Debug)]
pub struct ProvisionOptions {
    /// Directory of the TLS key's blob; created if missing.
    pub keys_dir: PathBuf,
    /// `None`: the first kind with a certificate in NV, RSA-2048 if there is none at all.
    pub ek: Option<EkKind>,
    /// Intermediate certificates (DER) to show besides those in NV.
    pub extra_chain: Vec<Vec<u8>>,
}

impl ProvisionOptions {
    /// The usual choice.
    pub fn new(keys_dir: impl Into<PathBuf>) -> Self {
        Self { keys_dir: keys_dir.into(), ek: None, extra_chain: Vec::new() }
    }
}

/// Public side of the node's keys: what a join shows.
#[derive(Clone, Debug)]
pub struct NodeKeys {
    /// Endorsement key.
    pub ek: EkPublic,
    /// Its certificate as read from NV.
    pub ek_certificate: Option<Vec<u8>>,
    /// Intermediates from NV and from the options.
    pub ek_chain: Vec<Vec<u8>>,
    /// Attestation key.
    pub ak: AkPublic,
    /// Storage root key.
    pub srk: SrkPublic,
    /// TLS key.
    pub tls: TlsPublic,
}

/// What the TPM thread remembers of provisioning, to find the keys again and to notice another TPM in their place.
pub(crate) struct Provisioned {
    pub(crate) ek_kind: EkKind,
    pub(crate) keys: NodeKeys,
    pub(crate) tls: SealedBlob,
}

/// The persistent keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Ek,
    Ak,
    Srk,
}

impl Tpm {
    /// Sets the node's keys up, or finds them again. Call once before any proof or unsealing; repeating is harmless.
    ///
    /// # Errors
    /// The TPM refused, holds foreign objects at our handles, or the blob in the directory belongs to another TPM.
    pub async fn provision(&self, options: ProvisionOptions) -> Result<NodeKeys, TpmError> {
        self.run(Priority::Urgent, "provisioning", move |device| {
            let provisioned = provision(device, options)?;
            let keys = provisioned.keys.clone();
            device.provisioned = Some(provisioned);
            Ok(keys)
        })
        .await
    }
}

/// The handle of a persistent key, after checking that it is still the key that was provisioned.
pub(crate) fn key(device: &mut Device, role: Role) -> Result<KeyHandle, JobError> {
    let provisioned = device.provisioned()?;
    let keys = &provisioned.keys;
    let (handle, expected): (u32, &Name) = match role {
        Role::Ek => (provisioned.ek_kind.handle(), keys.ek.name()),
        Role::Ak => (AK_HANDLE, keys.ak.name()),
        Role::Srk => (SRK_HANDLE, keys.srk.name()),
    };
    let expected = expected.clone();
    let key = device.persistent(handle)?.ok_or(TpmError::NotProvisioned)?;
    let name = device.bare(|context| context.tr_get_name(key.into()))?;
    if name.value() != expected.as_bytes() {
        return Err(TpmError::Occupied { handle }.into());
    }
    Ok(key)
}

fn provision(device: &mut Device, options: ProvisionOptions) -> Result<Provisioned, JobError> {
    let ProvisionOptions { keys_dir, ek, extra_chain } = options;
    let ek_kind = match ek {
        Some(kind) => kind,
        None => certified_kind(device)?.unwrap_or(EkKind::Rsa2048),
    };
    let ek_certificate = ek_certificate::read(device, ek_kind)?;
    let mut ek_chain = ek_certificate::read_chain(device)?;
    ek_chain.extend(extra_chain);

    let ek = ensure(device, ek_kind.handle(), Hierarchy::Endorsement, templates::endorsement_key(ek_kind)?)?;
    let ak = ensure(device, AK_HANDLE, Hierarchy::Endorsement, templates::attestation_key()?)?;
    let srk = ensure(device, SRK_HANDLE, Hierarchy::Owner, templates::storage_root_key()?)?;
    let parent = device.persistent(SRK_HANDLE)?.ok_or(TpmError::NotProvisioned)?;
    let tls = tls_key::load_or_create(device, parent, &keys_dir)?;

    let occupied = |handle| move |_: RoleError| TpmError::Occupied { handle };
    let keys = NodeKeys {
        ek: EkPublic::new(ek).map_err(occupied(ek_kind.handle()))?,
        ek_certificate,
        ek_chain,
        ak: AkPublic::new(ak).map_err(occupied(AK_HANDLE))?,
        srk: SrkPublic::new(srk).map_err(occupied(SRK_HANDLE))?,
        tls: TlsPublic::new(parse(tls.public())?).map_err(|error| rejected(error.into()))?,
    };
    Ok(Provisioned { ek_kind, keys, tls })
}

fn certified_kind(device: &mut Device) -> Result<Option<EkKind>, JobError> {
    for kind in EkKind::PREFERENCE {
        if ek_certificate::exists(device, ek_certificate::index(kind))? {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// Finds the primary key at its handle, or derives and keeps it there.
fn ensure(
    device: &mut Device,
    handle: u32,
    hierarchy: Hierarchy,
    template: TssPublic,
) -> Result<Public, JobError> {
    let key = match device.persistent(handle)? {
        Some(key) => key,
        None => {
            let primary = device
                .password(|context| context.create_primary(hierarchy, template, None, None, None, None))?;
            device.track(primary.key_handle);
            let place = Persistent::Persistent(PersistentTpmHandle::new(handle)?);
            device.password(|context| {
                context.evict_control(Provision::Owner, primary.key_handle.into(), place)
            })?;
            device.release(primary.key_handle)?;
            device.persistent(handle)?.ok_or(TpmError::NotProvisioned)?
        }
    };
    let (public, _name, _qualified) = device.bare(|context| context.read_public(key))?;
    parse(&public.marshall()?)
}

fn parse(public: &[u8]) -> Result<Public, JobError> {
    Ok(Public::parse(public).map_err(|error: Malformed| rejected(error.into()))?)
}

fn rejected(source: Box<dyn std::error::Error + Send + Sync>) -> TpmError {
    TpmError::Rejected { what: "a public area of this TPM", source }
}
