//! Reading requests: every field is checked here, once.

use bytes::Bytes;
use holdfast_domain::{CommandId, GroupId, MapEpoch, Reason, Sha256Hash, UploadId};
use holdfast_files_api::v1::Route;
use holdfast_sys_core::{Refusal, module::RouteInfo};

/// The route of a request that only reads.
pub(crate) fn route(route: Option<&Route>) -> Result<RouteInfo, Refusal> {
    let Route { map_epoch, group, command_id: _ } = route.ok_or(Reason::Malformed)?;
    Ok(RouteInfo { map_epoch: MapEpoch(*map_epoch), group: GroupId(*group) })
}

/// The route of a request that writes, and its command.
pub(crate) fn command(from: Option<&Route>) -> Result<(RouteInfo, CommandId), Refusal> {
    let bytes = from.map(|route| &*route.command_id).unwrap_or_default();
    Ok((route(from)?, bytes.try_into().map_err(malformed)?))
}

pub(crate) fn upload(bytes: &Bytes) -> Result<UploadId, Refusal> {
    bytes.as_ref().try_into().map_err(malformed)
}

pub(crate) fn sha256(bytes: &Bytes) -> Result<Sha256Hash, Refusal> {
    bytes.as_ref().try_into().map_err(malformed)
}

fn malformed(error: holdfast_domain::ids::IdError) -> Refusal {
    Refusal::new(Reason::Malformed).because(error)
}
