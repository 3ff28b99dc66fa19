//! The node's TLS key: made once under the SRK, kept as a blob in the keys directory, loaded on first use.

use std::path::Path;

use holdfast_domain::codec;
use tss_esapi::handles::KeyHandle;

use crate::actor::Device;
use crate::blob::SealedBlob;
use crate::error::{JobError, TpmError};
use crate::limits::MAX_BLOB_BYTES;
use crate::provision::{self, Role};
use crate::templates;

/// File of the blob in the keys directory.
const FILE: &str = "tls-key.tpm";

/// The blob from the directory, checked against this TPM, or a new one.
pub(crate) fn load_or_create(
    device: &mut Device,
    parent: KeyHandle,
    keys_dir: &Path,
) -> Result<SealedBlob, JobError> {
    let path = keys_dir.join(FILE);
    let unreadable = |source| TpmError::File { path: path.clone(), source };
    if path.exists() {
        let bytes =
            holdfast_keys::secret_file::read_secret(&path).map_err(|error| unreadable(error.into()))?;
        let blob: SealedBlob =
            codec::decode(&bytes, MAX_BLOB_BYTES).map_err(|error| unreadable(error.into()))?;
        let loaded = blob.load(device, parent).map_err(|_| TpmError::ForeignBlob { path: path.clone() })?;
        device.release(loaded)?;
        return Ok(blob);
    }
    let template = templates::tls_key()?;
    let created = device.password(|context| context.create(parent, template, None, None, None, None))?;
    let blob = SealedBlob::new(&created.out_public, &created.out_private)?;
    std::fs::create_dir_all(keys_dir).map_err(|error| unreadable(error.into()))?;
    let bytes = codec::encode(&blob).map_err(|error| unreadable(error.into()))?;
    holdfast_keys::secret_file::write_secret(&path, &bytes).map_err(|error| unreadable(error.into()))?;
    Ok(blob)
}

/// Uses the TLS key. It stays loaded: it signs every handshake towards the registry. When the loaded one is of no use,
/// because the TPM restarted, it is loaded again, once.
pub(crate) fn with_loaded<T>(
    device: &mut Device,
    command: impl Fn(&mut Device, KeyHandle) -> Result<T, JobError>,
) -> Result<T, JobError> {
    if let Some(key) = device.tls.take() {
        match command(device, key) {
            Ok(value) => {
                device.tls = Some(key);
                return Ok(value);
            }
            // Flushed at the end of the job, if it still is there.
            Err(JobError::Tss(_)) => device.track(key),
            Err(other) => return Err(other),
        }
    }
    let blob = device.provisioned()?.tls.clone();
    let parent = provision::key(device, Role::Srk)?;
    let key = blob.load(device, parent)?;
    let value = command(device, key)?;
    device.keep(key);
    device.tls = Some(key);
    Ok(value)
}
