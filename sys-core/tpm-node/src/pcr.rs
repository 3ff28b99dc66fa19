//! Platform configuration registers of the SHA-256 bank.

use holdfast_domain::{PcrSelection, PcrValue};
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{
    Digest, DigestValues, PcrSelectSize, PcrSelectionList, PcrSelectionListBuilder, PcrSlot,
};

use crate::actor::{Device, Priority, Tpm};
use crate::error::{JobError, TpmError};
use crate::limits::MAX_PCR_READS;

impl Tpm {
    /// Current values, in the order of the selection.
    ///
    /// # Errors
    /// The TPM refused, or has no SHA-256 bank.
    pub async fn pcr_values(&self, selection: &PcrSelection) -> Result<Vec<PcrValue>, TpmError> {
        let selection = selection.clone();
        self.run(Priority::Urgent, "reading PCRs", move |device| read(device, &selection)).await
    }

    /// Extends one register, as firmware does when it measures the boot chain. Used to play a measured boot on a
    /// software TPM.
    ///
    /// # Errors
    /// `index` is over 23 or closed to us, or the TPM refused.
    pub async fn extend_pcr(&self, index: u8, digest: [u8; 32]) -> Result<(), TpmError> {
        self.run(Priority::Normal, "extending a PCR", move |device| {
            let register =
                PcrHandle::try_from(u32::from(index)).map_err(|_| JobError::malformed("PCR index"))?;
            let mut digests = DigestValues::new();
            digests.set(HashingAlgorithm::Sha256, Digest::try_from(&digest[..])?);
            device.password(|context| context.pcr_extend(register, digests))
        })
        .await
    }
}

/// One TPM2_PCR_Read answers at most eight registers: ask until all are there.
pub(crate) fn read(device: &mut Device, selection: &PcrSelection) -> Result<Vec<PcrValue>, JobError> {
    let mut values: Vec<PcrValue> = Vec::with_capacity(selection.indices().len());
    for _ in 0..MAX_PCR_READS {
        let missing: Vec<u8> = selection
            .indices()
            .iter()
            .copied()
            .filter(|index| values.iter().all(|value| value.index != *index))
            .collect();
        if missing.is_empty() {
            values.sort();
            return Ok(values);
        }
        let wanted = selection_list(&missing)?;
        let (_, answered, digests) = device.bare(|context| context.pcr_read(wanted))?;
        let slots = answered.get_selections().iter().flat_map(|bank| bank.selected());
        for (slot, digest) in slots.zip(digests.value()) {
            let index = slot_index(slot)?;
            let digest = digest.value().try_into().map_err(|_| JobError::malformed("PCR digest"))?;
            if missing.contains(&index) {
                values.push(PcrValue { index, digest });
            }
        }
    }
    Err(JobError::malformed("answer to PCR_Read"))
}

pub(crate) fn list(selection: &PcrSelection) -> Result<PcrSelectionList, JobError> {
    selection_list(selection.indices())
}

fn selection_list(indices: &[u8]) -> Result<PcrSelectionList, JobError> {
    let slots = indices
        .iter()
        .map(|index| PcrSlot::try_from(1u32.checked_shl(u32::from(*index)).unwrap_or(0)))
        .collect::<tss_esapi::Result<Vec<_>>>()?;
    let builder = PcrSelectionListBuilder::new().with_size_of_select(PcrSelectSize::ThreeOctets);
    Ok(builder.with_selection(HashingAlgorithm::Sha256, &slots).build()?)
}

/// The library names a slot by its bit.
fn slot_index(slot: PcrSlot) -> Result<u8, JobError> {
    u8::try_from(u32::from(slot).trailing_zeros()).map_err(|_| JobError::malformed("PCR index"))
}
