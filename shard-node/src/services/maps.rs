//! For anybody: the newest signed map, while the registry is away or a refusal had no room for it.

use std::sync::Arc;

use holdfast_domain::{Lineage, MapEpoch, ShardMap, Signed};
use holdfast_proto::{
    node::v1::{NewestMapReply, NewestMapRequest, maps_server::Maps},
    registry::v1::SignedRow,
};
use tonic::{Request, Response, Status};

use crate::partition::MapSource;

/// The service.
pub struct MapsService(Arc<dyn MapSource>);

impl MapsService {
    /// Over what this node has seen.
    pub fn new(map: Arc<dyn MapSource>) -> Self {
        Self(map)
    }
}

#[tonic::async_trait]
impl Maps for MapsService {
    async fn newest(&self, request: Request<NewestMapRequest>) -> Result<Response<NewestMapReply>, Status> {
        let NewestMapRequest { known_lineage, known_epoch } = request.into_inner();
        let known = (Lineage(known_lineage), MapEpoch(known_epoch));
        let newer = self.0.map().filter(|ours| (ours.map.lineage, ours.map.epoch) > known);
        Ok(Response::new(NewestMapReply { map: newer.map(|ours| row(&ours.signed)) }))
    }
}

fn row(signed: &Signed<ShardMap>) -> SignedRow {
    SignedRow { bytes: signed.bytes.clone().into(), signature: signed.signature.0.to_vec().into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::partition::tests::support::{Map, signed_map};

    #[tokio::test]
    async fn only_a_newer_map_is_sent() {
        let map = Map(Mutex::new(Some(signed_map(5, vec![]))));
        let maps = MapsService::new(Arc::new(map));
        let ask = async |known_lineage, known_epoch| {
            let request = Request::new(NewestMapRequest { known_lineage, known_epoch });
            maps.newest(request).await.unwrap().into_inner().map
        };
        assert!(ask(0, 4).await.is_some() && ask(0, 0).await.is_some());
        assert!(ask(0, 5).await.is_none() && ask(1, 0).await.is_none());
    }
}
