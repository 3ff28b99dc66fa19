//! Counters in the TPM that only go up: what a disk says of one tells whether the disk is as new as the machine.
//!
//! A counter is found by its name, which its index carries as the digest of a policy that nobody can satisfy; so several uses of one TPM do
//! not count each other's events, and one that starts over with an empty disk finds its own again. Anybody on the machine may count
//! up, and whoever owns the TPM may delete a counter; a new one begins above all that the TPM ever had.

use tss_esapi::attributes::NvIndexAttributes;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, ObjectHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{Digest, NvPublic};

use crate::actor::{Device, Priority, Tpm};
use crate::error::{JobError, TpmError};
use crate::limits::MAX_COUNTERS;

/// Where our counters begin: within the owner's range.
const FIRST: u32 = 0x0180_4801;
const BYTES: usize = 8;

/// Name of a counter: a hash of what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterName(pub [u8; 32]);

impl Tpm {
    /// What the counter says; `None` if there is none, or it never counted.
    ///
    /// # Errors
    /// The TPM refused.
    pub async fn counter(&self, name: CounterName) -> Result<Option<u64>, TpmError> {
        self.run(Priority::Normal, "reading a counter", move |device| match find(device, name)? {
            Found::Counter(handle) => used(device, handle, read),
            Found::Free(_) | Found::Full => Ok(None),
        })
        .await
    }

    /// Counts up and says to what; makes the counter if there is none. The TPM remembers before it answers.
    ///
    /// # Errors
    /// The TPM refused, or has no room for a counter.
    pub async fn count_up(&self, name: CounterName) -> Result<u64, TpmError> {
        self.run(Priority::Normal, "counting up", move |device| {
            let handle = match find(device, name)? {
                Found::Counter(handle) => handle,
                Found::Free(index) => define(device, name, index)?,
                Found::Full => return Err(JobError::malformed("number of counters")),
            };
            used(device, handle, |device, handle| {
                device.password(|context| context.nv_increment(NvAuth::NvIndex(handle), handle))?;
                read(device, handle)?.ok_or(JobError::malformed("state of a counter"))
            })
        })
        .await
    }
}

enum Found {
    Counter(NvIndexHandle),
    /// An index that can be taken for it.
    Free(u32),
    Full,
}

fn find(device: &mut Device, name: CounterName) -> Result<Found, JobError> {
    let end = FIRST.saturating_add(MAX_COUNTERS);
    let taken = device.handles_from(FIRST, MAX_COUNTERS)?;
    let taken: Vec<_> = taken.into_iter().filter(|index| (FIRST..end).contains(index)).collect();
    for index in &taken {
        let address = TpmHandle::NvIndex(NvIndexTpmHandle::new(*index)?);
        let mut object = device.bare(|context| context.tr_from_tpm_public(address))?;
        let public = device.bare(|context| context.nv_read_public(NvIndexHandle::from(object)));
        if public.as_ref().is_ok_and(|(public, _)| is_ours(public, name)) {
            return Ok(Found::Counter(NvIndexHandle::from(object)));
        }
        close(device, &mut object)?;
        public?;
    }
    Ok((FIRST..end).find(|index| !taken.contains(index)).map_or(Found::Full, Found::Free))
}

fn is_ours(public: &NvPublic, name: CounterName) -> bool {
    public.authorization_policy().value() == name.0
        && public.data_size() == BYTES
        && public.attributes().index_type() == Ok(NvIndexType::Counter)
}

fn define(device: &mut Device, name: CounterName, index: u32) -> Result<NvIndexHandle, JobError> {
    let attributes = NvIndexAttributes::builder()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_read(true)
        .with_auth_write(true)
        .with_no_da(true)
        .build()?;
    let public = NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(index)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_index_auth_policy(Digest::try_from(&name.0[..])?)
        .with_data_area_size(BYTES)
        .build()?;
    device.password(|context| context.nv_define_space(Provision::Owner, None, public))
}

fn read(device: &mut Device, handle: NvIndexHandle) -> Result<Option<u64>, JobError> {
    let (public, _name) = device.bare(|context| context.nv_read_public(handle))?;
    if !public.attributes().written() {
        return Ok(None);
    }
    let size = u16::try_from(BYTES).map_err(|_| JobError::malformed("size of a counter"))?;
    let value = device.password(|context| context.nv_read(NvAuth::NvIndex(handle), handle, size, 0))?;
    let value = value.value().try_into().map_err(|_| JobError::malformed("size of a counter"))?;
    Ok(Some(u64::from_be_bytes(value)))
}

/// Uses an index, and gives the library's handle back however that ends.
fn used<T>(
    device: &mut Device,
    handle: NvIndexHandle,
    job: impl FnOnce(&mut Device, NvIndexHandle) -> Result<T, JobError>,
) -> Result<T, JobError> {
    let done = job(device, handle);
    let closed = close(device, &mut ObjectHandle::from(handle));
    let done = done?;
    closed.map(|()| done)
}

fn close(device: &mut Device, object: &mut ObjectHandle) -> Result<(), JobError> {
    device.bare(|context| context.tr_close(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swtpm::SoftTpm;

    const ONE: CounterName = CounterName([1; 32]);
    const OTHER: CounterName = CounterName([2; 32]);

    #[tokio::test]
    async fn counters_only_go_up_and_do_not_count_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut soft = SoftTpm::fresh(&dir.path().join("ca"), &dir.path().join("tpm")).unwrap();
        let tpm = Tpm::open(&soft.tcti()).unwrap();
        assert_eq!(tpm.counter(ONE).await.unwrap(), None);
        let first = tpm.count_up(ONE).await.unwrap();
        for more in 1..20 {
            assert_eq!(tpm.count_up(ONE).await.unwrap(), first + more);
        }
        let other = tpm.count_up(OTHER).await.unwrap();
        assert_eq!(tpm.counter(ONE).await.unwrap(), Some(first + 19));
        soft.restart().unwrap();
        drop(tpm.counter(ONE).await);
        assert_eq!(tpm.counter(ONE).await.unwrap(), Some(first + 19));
        assert_eq!(tpm.counter(OTHER).await.unwrap(), Some(other));
    }
}
