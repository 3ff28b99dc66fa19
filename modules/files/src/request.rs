//! Reading requests: every field is checked here, once. Routes are the gate's.

use bytes::Bytes;
use holdfast_domain::{Reason, Sha256Hash, UploadId};
use holdfast_sys_core::Refusal;

pub(crate) fn upload(bytes: &Bytes) -> Result<UploadId, Refusal> {
    bytes.as_ref().try_into().map_err(malformed)
}

pub(crate) fn sha256(bytes: &Bytes) -> Result<Sha256Hash, Refusal> {
    bytes.as_ref().try_into().map_err(malformed)
}

fn malformed(error: holdfast_domain::ids::IdError) -> Refusal {
    Refusal::new(Reason::Malformed).because(error)
}
