//! The EK certificate and its chain, as the vendor left them in NV. Read as they are: the verifier tolerates vendors'
//! headers and padding and checks the rest.

use holdfast_tpm_verify::ek_certificate::chain_from_nv;
use tss_esapi::constants::PropertyTag;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::resource_handles::NvAuth;

use crate::actor::Device;
use crate::error::JobError;
use crate::limits::{MAX_NV_CERTIFICATE, MAX_NV_CHAIN_INDICES};
use crate::provision::EkKind;

/// First index of the chain (TCG EK Credential Profile 2.2.1.5).
const CHAIN_FIRST: u32 = 0x01c0_0100;
const CHAIN_LAST: u32 = 0x01c0_01ff;
/// Smallest guaranteed size of one NV read, for TPMs that do not tell.
const DEFAULT_NV_BUFFER: usize = 512;

pub(crate) fn index(kind: EkKind) -> u32 {
    match kind {
        EkKind::Rsa2048 => 0x01c0_0002,
        EkKind::EccP256 => 0x01c0_000a,
        EkKind::EccP384 => 0x01c0_0016,
    }
}

/// The certificate of this kind of EK, `None` if the TPM has none.
pub(crate) fn read(device: &mut Device, kind: EkKind) -> Result<Option<Vec<u8>>, JobError> {
    match exists(device, index(kind))? {
        true => read_index(device, index(kind)).map(Some),
        false => Ok(None),
    }
}

pub(crate) fn exists(device: &mut Device, index: u32) -> Result<bool, JobError> {
    Ok(device.handles_from(index, 1)?.first() == Some(&index))
}

/// The certificates in the chain's indices. A vendor's mess there counts as no chain: the registry decides what is missing.
pub(crate) fn read_chain(device: &mut Device) -> Result<Vec<Vec<u8>>, JobError> {
    let mut content = Vec::new();
    let mut next = CHAIN_FIRST;
    for _ in 0..MAX_NV_CHAIN_INDICES {
        match device.handles_from(next, 1)?.first() {
            Some(&found) if (next..=CHAIN_LAST).contains(&found) => {
                content.extend(read_index(device, found)?);
                next = found.saturating_add(1);
            }
            _ => break,
        }
    }
    let chain = chain_from_nv(&content).unwrap_or_default();
    Ok(chain.into_iter().map(<[u8]>::to_vec).collect())
}

fn read_index(device: &mut Device, index: u32) -> Result<Vec<u8>, JobError> {
    let address = TpmHandle::NvIndex(NvIndexTpmHandle::new(index)?);
    let mut object = device.bare(|context| context.tr_from_tpm_public(address))?;
    let content = read_object(device, NvIndexHandle::from(object));
    let closed = device.bare(|context| context.tr_close(&mut object));
    let content = content?;
    closed.map(|()| content)
}

fn read_object(device: &mut Device, index: NvIndexHandle) -> Result<Vec<u8>, JobError> {
    let (public, _name) = device.bare(|context| context.nv_read_public(index))?;
    let size = public.data_size();
    if size > MAX_NV_CERTIFICATE {
        return Err(JobError::malformed("size of an NV certificate"));
    }
    let step = device.bare(|context| context.get_tpm_property(PropertyTag::NvBufferMax))?;
    let step = step.and_then(|step| usize::try_from(step).ok()).unwrap_or(DEFAULT_NV_BUFFER).clamp(64, 1024);
    let mut content = Vec::with_capacity(size);
    while content.len() < size {
        let length = step.min(size.saturating_sub(content.len()));
        let too_large = |_| JobError::malformed("size of an NV certificate");
        let (length, offset) =
            (u16::try_from(length).map_err(too_large)?, u16::try_from(content.len()).map_err(too_large)?);
        let part =
            device.password(|context| context.nv_read(NvAuth::NvIndex(index), index, length, offset))?;
        if part.is_empty() {
            return Err(JobError::malformed("answer to NV_Read"));
        }
        content.extend_from_slice(&part);
    }
    Ok(content)
}
