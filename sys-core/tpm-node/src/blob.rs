//! A key that lives outside the TPM in the TPM's own encryption: public and private area under our SRK.

use serde::{Deserialize, Serialize};
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::{Private, Public};
use tss_esapi::traits::{Marshall, UnMarshall};

use crate::actor::Device;
use crate::error::JobError;
use crate::limits::MAX_BLOB_BYTES;

/// A key sealed to this TPM; opens nowhere else. Safe to lie on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBlob {
    /// TPMT_PUBLIC.
    public: Vec<u8>,
    /// Contents of TPM2B_PRIVATE.
    private: Vec<u8>,
}

impl SealedBlob {
    pub(crate) fn new(public: &Public, private: &Private) -> Result<Self, JobError> {
        Ok(Self { public: public.marshall()?, private: private.value().to_vec() })
    }

    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Loads it under the SRK; flushed when the job ends.
    pub(crate) fn load(&self, device: &mut Device, parent: KeyHandle) -> Result<KeyHandle, JobError> {
        let private = Private::try_from(self.private.as_slice())?;
        let public = public_from(&self.public)?;
        let handle = device.password(|context| context.load(parent, private, public))?;
        device.track(handle);
        Ok(handle)
    }
}

/// Reads a TPMT_PUBLIC that came from outside; the whole input must be consumed.
pub(crate) fn public_from(bytes: &[u8]) -> Result<Public, JobError> {
    if bytes.len() > MAX_BLOB_BYTES {
        return Err(JobError::malformed("public area"));
    }
    let public = Public::unmarshall(bytes)?;
    if public.marshall()? != bytes {
        return Err(JobError::malformed("public area"));
    }
    Ok(public)
}

#[cfg(test)]
mod tests {
    use holdfast_domain::codec;
    use proptest::prelude::*;

    use super::*;
    use crate::templates;

    #[test]
    fn a_public_area_is_read_in_its_one_encoding_only() {
        let bytes = templates::storage_root_key().unwrap().marshall().unwrap();
        assert!(public_from(&bytes).is_ok());
        assert!(public_from(&[&bytes[..], &[0]].concat()).is_err());
        assert!(public_from(&bytes[..bytes.len() - 1]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = public_from(&bytes);
            let _ = codec::decode::<SealedBlob>(&bytes, MAX_BLOB_BYTES);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..90, flip in 1u8..) {
            let mut bytes = templates::storage_root_key().unwrap().marshall().unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let _ = public_from(&bytes);
        }
    }
}
