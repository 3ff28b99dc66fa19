//! Where a replica must be when it starts, as far as anybody knows beside its peers: the checkpoints of this machine's TPM, and for groups of
//! one replica the registry.

use std::time::Duration;

use holdfast_consensus::Floor;
use holdfast_domain::{GroupId, ReplicaId};
use holdfast_proto::registry::v1::{self as pb, GetFloorsRequest, custody_client::CustodyClient};

use super::Runtime;

/// How long the registry may take to say what it remembers. It may be away, and then a node goes on with what it knows.
const PATIENCE: Duration = Duration::from_secs(3);

impl Runtime {
    /// Where a replica must be, at least.
    pub(super) async fn floor(&self, group: GroupId, replica: ReplicaId) -> Option<Floor> {
        self.checkpoints.floor((group, replica)).max(self.told_floor(group, replica).await)
    }

    /// What the registry remembers of a replica that is alone in its group.
    async fn told_floor(&self, group: GroupId, replica: ReplicaId) -> Option<Floor> {
        let alone = self.descriptor(group).is_ok_and(|group| group.replicas.len() == 1);
        let stored = self.consensus.stored().contains(&(group, replica));
        if !alone || !stored {
            return None;
        }
        match self.floors().await {
            Some(floors) => {
                let own = floors.iter().find(|row| row.group == group.0 && row.replica_id == replica.0);
                own.map(|row| Floor { term: row.term, index: row.index })
            }
            None => {
                tracing::warn!(%group, %replica, "the registry does not answer: nobody can say whether the disk of this only replica was put back");
                None
            }
        }
    }

    async fn floors(&self) -> Option<Vec<pb::Floor>> {
        let asked = self
            .keeper
            .registries
            .call(|channel| async move { CustodyClient::new(channel).get_floors(GetFloorsRequest {}).await });
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(reply)) => Some(reply.into_inner().floors),
            Ok(Err(error)) => {
                tracing::debug!(error = %holdfast_domain::causes(&error), "no floors");
                None
            }
            Err(_) => None,
        }
    }
}
