//! Reading requests: every field is checked here, once.

use bytes::Bytes;
use holdfast_domain::{CommandId, GroupId, HomeId, MapEpoch, Reason, Sha256Hash, UploadId};
use holdfast_proto::module::v1::Route;
use holdfast_sys_core::{Caller, Refusal, module::RouteInfo};

/// Where a request leads.
pub(crate) struct Way {
    route: RouteInfo,
    /// `None` for the caller's own home.
    home: Option<HomeId>,
}

impl Way {
    /// # Errors
    /// `NotPermitted` when it leads to another home than the caller's own.
    pub(crate) fn own(self, caller: &Caller) -> Result<RouteInfo, Refusal> {
        let Self { route, home } = self;
        match (home, caller) {
            (None, _) => Ok(route),
            (Some(home), Caller::Client { home: own, .. }) if home == own.account.into() => Ok(route),
            (Some(_), _) => Err(Reason::NotPermitted.into()),
        }
    }
}

/// The route of a request that only reads.
pub(crate) fn route(route: Option<&Route>) -> Result<Way, Refusal> {
    let Route { map_epoch, group, command_id: _, home } = route.ok_or(Reason::Malformed)?;
    let home = home.as_ref().map(HomeId::try_from).transpose();
    let home = home.map_err(|error| Refusal::new(Reason::Malformed).because(error))?;
    Ok(Way { route: RouteInfo { map_epoch: MapEpoch(*map_epoch), group: GroupId(*group) }, home })
}

/// The route of a request that writes, and its command.
pub(crate) fn command(from: Option<&Route>) -> Result<(Way, CommandId), Refusal> {
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
