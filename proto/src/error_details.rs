//! The details of a refused call: `google.rpc.Status` with a `google.rpc.ErrorInfo`, written by servers, read by clients.
//!
//! The messages are declared by hand from google/rpc/status.proto and google/rpc/error_details.proto: three fields each.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_domain::{MapEpoch, NodeId, ShardMap, Signature64, Signed};
use prost::Message;
use tonic::Code;

use crate::registry::v1::SignedRow;

/// `ErrorInfo.domain` of every refusal.
pub const ERROR_DOMAIN: &str = "holdfast";

/// Longest `grpc-status-details-bin` that is decoded: it travels in a header, and a signed map may be in it.
pub const MAX_DETAILS_BYTES: usize = 8 * 1024;

/// Most details of one status.
pub const MAX_DETAILS: usize = 8;

const ERROR_INFO_TYPE: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const SIGNED_MAP_TYPE: &str = "type.googleapis.com/holdfast.registry.v1.SignedRow";
const MAP_EPOCH_KEY: &str = "map_epoch";
const LEADER_KEY: &str = "leader";

/// Room that the other details and their framing take beside an attached map.
const DETAILS_HEADROOM: usize = 1024;

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// What the details of a refusal say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// A stable reason code (`holdfast_domain::Reason`).
    pub reason: String,
    /// Epoch of the server's newer map.
    pub map_epoch: Option<MapEpoch>,
    /// The newer map itself, where it fits; its signature is yet to be checked.
    pub map: Option<Signed<ShardMap>>,
    /// Who leads the group and takes its writes, as far as the server knows.
    pub leader: Option<NodeId>,
}

/// Encodes details for `grpc-status-details-bin`. They travel in a header, so a map too large for one is left out.
pub fn encode(code: Code, message: &str, details: Details) -> Bytes {
    let Details { reason, map_epoch, map, leader } = details;
    let epoch = map_epoch.map(|epoch| (MAP_EPOCH_KEY.to_owned(), epoch.to_string()));
    let leader = leader.map(|node| (LEADER_KEY.to_owned(), node.to_string()));
    let metadata = epoch.into_iter().chain(leader).collect();
    let info = ErrorInfo { reason, domain: ERROR_DOMAIN.to_owned(), metadata };
    let mut any = vec![Any { type_url: ERROR_INFO_TYPE.to_owned(), value: info.encode_to_vec().into() }];
    if let Some(map) = map.filter(|map| map.bytes.len() <= MAX_DETAILS_BYTES - DETAILS_HEADROOM) {
        let row = SignedRow { bytes: map.bytes.into(), signature: map.signature.0.to_vec().into() };
        any.push(Any { type_url: SIGNED_MAP_TYPE.to_owned(), value: row.encode_to_vec().into() });
    }
    RpcStatus { code: code.into(), message: message.to_owned(), details: any }.encode_to_vec().into()
}

/// Reads details that some server sent; `None` when they are not a refusal's.
pub fn decode(bytes: &[u8]) -> Option<Details> {
    if bytes.len() > MAX_DETAILS_BYTES {
        return None;
    }
    let status = RpcStatus::decode(bytes).ok()?;
    if status.details.len() > MAX_DETAILS {
        return None;
    }
    let value_of = |kind: &str| status.details.iter().find(|any| any.type_url == kind).map(|any| &*any.value);
    let info = ErrorInfo::decode(value_of(ERROR_INFO_TYPE)?).ok()?;
    if info.domain != ERROR_DOMAIN {
        return None;
    }
    let map_epoch = info.metadata.get(MAP_EPOCH_KEY).and_then(|text| text.parse().ok());
    let leader = info.metadata.get(LEADER_KEY).and_then(|text| text.parse().ok());
    let map = value_of(SIGNED_MAP_TYPE).and_then(|value| {
        let row = SignedRow::decode(value).ok()?;
        let signature = <[u8; 64]>::try_from(&*row.signature).ok()?;
        Some(Signed::from_parts(row.bytes.to_vec(), Signature64(signature)))
    });
    Some(Details { reason: info.reason, map_epoch, map, leader })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
