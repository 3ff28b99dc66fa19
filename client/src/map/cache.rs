//! Takes maps that verify and are newer, from whoever offers them, and remembers the newest on disk.

use std::path::PathBuf;

use holdfast_domain::{
    ClusterId, HomeId, Lineage, MapEpoch, ShardMap, Signed, codec,
    map::{MAX_MAP, MapError},
};
use holdfast_keys::{P256Public, labels, sign::VerifyError, verify_value};

use super::Route;
use crate::storage::{self, StorageError};

/// Room for a map's signature and framing.
const MAX_SIGNED_MAP: usize = MAX_MAP + 128;

/// The newest map that this client has seen.
pub struct MapCache {
    cluster: ClusterId,
    key: P256Public,
    file: Option<PathBuf>,
    newest: Option<ShardMap>,
}

/// What became of an offered map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is the newest now.
    Taken,
    /// It is the one that is known.
    Known,
}

/// Why a map is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapRefused {
    /// Not signed by the cluster's map key, or signed nonsense.
    #[error("it is not signed by the cluster's map key")]
    Signature(#[source] VerifyError),
    /// Another cluster's.
    #[error("it is the map of cluster {0}")]
    Cluster(ClusterId),
    /// It contradicts itself.
    #[error("it contradicts itself")]
    Map(#[source] MapError),
    /// Older than one seen before: somebody replays it, or serves a state that was rolled back.
    #[error(
        "it has epoch {offered} of lineage {offered_lineage}; epoch {known} of lineage {known_lineage} was seen before"
    )]
    Older {
        /// Lineage seen before.
        known_lineage: Lineage,
        /// Epoch seen before.
        known: MapEpoch,
        /// Lineage offered.
        offered_lineage: Lineage,
        /// Epoch offered.
        offered: MapEpoch,
    },
}

impl MapCache {
    /// An empty cache in memory only.
    pub fn new(cluster: ClusterId, key: P256Public) -> Self {
        Self { cluster, key, file: None, newest: None }
    }

    /// A cache that lives in a file. What is in it is checked like a map from the network; one that does not verify is
    /// left for the next good map to replace.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn open(cluster: ClusterId, key: P256Public, file: PathBuf) -> Result<Self, StorageError> {
        let most = u64::try_from(MAX_SIGNED_MAP).unwrap_or(u64::MAX);
        let stored = storage::read_optional(&file, most)?;
        let mut cache = Self::new(cluster, key);
        if let Some(bytes) = stored {
            let taken =
                codec::decode::<Signed<ShardMap>>(&bytes, MAX_SIGNED_MAP).map(|map| cache.offer(&map));
            if !matches!(taken, Ok(Ok(_))) {
                tracing::warn!(file = %file.display(), "the cached shard map does not verify and is ignored");
            }
        }
        cache.file = Some(file);
        Ok(cache)
    }

    /// Checks a map and takes it when it is newer.
    ///
    /// # Errors
    /// See [`MapRefused`]; the known map stays.
    pub fn offer(&mut self, signed: &Signed<ShardMap>) -> Result<Offer, MapRefused> {
        let map =
            verify_value(signed, &self.key, labels::SHARD_MAP, MAX_MAP).map_err(MapRefused::Signature)?;
        if map.cluster != self.cluster {
            return Err(MapRefused::Cluster(map.cluster));
        }
        map.check().map_err(MapRefused::Map)?;
        match &self.newest {
            Some(known) if known.is_newer_than(&map) => {
                return Err(MapRefused::Older {
                    known_lineage: known.lineage,
                    known: known.epoch,
                    offered_lineage: map.lineage,
                    offered: map.epoch,
                });
            }
            Some(known) if !map.is_newer_than(known) => return Ok(Offer::Known),
            _ => {}
        }
        self.newest = Some(map);
        self.remember(signed);
        Ok(Offer::Taken)
    }

    /// The newest map.
    pub fn newest(&self) -> Option<&ShardMap> {
        self.newest.as_ref()
    }

    /// Its lineage and epoch; 0 without one.
    pub fn order(&self) -> (Lineage, MapEpoch) {
        self.newest.as_ref().map_or((Lineage(0), MapEpoch(0)), |map| (map.lineage, map.epoch))
    }

    /// Its epoch; 0 without one.
    pub fn epoch(&self) -> MapEpoch {
        self.newest.as_ref().map(|map| map.epoch).unwrap_or_default()
    }

    /// Who serves a home.
    pub fn route(&self, home: impl Into<HomeId>) -> Option<Route> {
        Route::find(self.newest.as_ref()?, self.cluster, home)
    }

    /// Who is about to serve a home whose slot moves.
    pub fn next_route(&self, home: impl Into<HomeId>) -> Option<Route> {
        Route::find_next(self.newest.as_ref()?, self.cluster, home)
    }

    /// A cache that cannot be written costs a question to the registry next time, nothing more.
    fn remember(&self, signed: &Signed<ShardMap>) {
        let Some(file) = &self.file else { return };
        let written = codec::encode(signed)
            .map_err(|error| error.to_string())
            .and_then(|bytes| storage::write(file, &bytes).map_err(|error| holdfast_domain::causes(&error)));
        if let Err(error) = written {
            tracing::warn!(error, "the shard map could not be cached");
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{
        GroupDescriptor, GroupId, NodeId, ReplicaDescriptor, ReplicaId, ReplicaState, ShardEpoch,
        map::even_slots,
    };
    use holdfast_keys::{Signer as _, SoftSigner, sign_value};
    use proptest::prelude::*;

    use super::*;

    const CLUSTER: ClusterId = ClusterId::new([1; 16]);

    fn map(lineage: u32, epoch: u64) -> ShardMap {
        let replica = |number: u8, state| ReplicaDescriptor {
            replica: ReplicaId(number.into()),
            node: NodeId::new([number; 16]),
            address: "127.0.0.1:1".into(),
            state,
        };
        let group = GroupDescriptor {
            group: GroupId(1),
            epoch: ShardEpoch(1),
            slots: vec![even_slots(0, 1).unwrap()],
            replicas: vec![replica(1, ReplicaState::Learner), replica(2, ReplicaState::Voter)],
        };
        ShardMap {
            cluster: CLUSTER,
            lineage: Lineage(lineage),
            epoch: MapEpoch(epoch),
            groups: vec![group],
            moves: vec![],
        }
    }

    fn signed(key: &SoftSigner, map: &ShardMap) -> Signed<ShardMap> {
        sign_value(key, labels::SHARD_MAP, map).unwrap()
    }

    #[test]
    fn a_newer_map_is_taken_and_an_older_one_refused() {
        let key = SoftSigner::generate().unwrap();
        let mut cache = MapCache::new(CLUSTER, key.public());
        assert_eq!(cache.offer(&signed(&key, &map(0, 5))), Ok(Offer::Taken));
        assert_eq!(cache.offer(&signed(&key, &map(0, 5))), Ok(Offer::Known));
        assert!(matches!(cache.offer(&signed(&key, &map(0, 4))), Err(MapRefused::Older { .. })));
        assert_eq!(cache.offer(&signed(&key, &map(1, 1))), Ok(Offer::Taken), "a restore begins a lineage");
        assert!(matches!(cache.offer(&signed(&key, &map(0, 99))), Err(MapRefused::Older { .. })));
    }

    #[test]
    fn a_forged_or_foreign_map_is_refused() {
        let (key, other) = (SoftSigner::generate().unwrap(), SoftSigner::generate().unwrap());
        let mut cache = MapCache::new(CLUSTER, key.public());
        assert!(matches!(cache.offer(&signed(&other, &map(0, 1))), Err(MapRefused::Signature(_))));
        let mut changed = signed(&key, &map(0, 1));
        changed.bytes[20] ^= 1;
        assert!(matches!(cache.offer(&changed), Err(MapRefused::Signature(_))));
        let foreign = ShardMap { cluster: ClusterId::new([9; 16]), ..map(0, 1) };
        assert!(matches!(cache.offer(&signed(&key, &foreign)), Err(MapRefused::Cluster(_))));
        assert!(cache.newest().is_none());
    }

    #[test]
    fn the_file_is_verified_again_and_still_refuses_older_maps() {
        let key = SoftSigner::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("map");
        let mut cache = MapCache::open(CLUSTER, key.public(), file.clone()).unwrap();
        cache.offer(&signed(&key, &map(0, 7))).unwrap();
        let mut cache = MapCache::open(CLUSTER, key.public(), file.clone()).unwrap();
        assert_eq!(cache.epoch(), MapEpoch(7));
        assert!(matches!(cache.offer(&signed(&key, &map(0, 6))), Err(MapRefused::Older { .. })));
        let forged = codec::encode(&signed(&SoftSigner::generate().unwrap(), &map(0, 9))).unwrap();
        std::fs::write(&file, forged).unwrap();
        assert!(MapCache::open(CLUSTER, key.public(), file).unwrap().newest().is_none());
    }

    #[test]
    fn a_route_leads_to_voters_only() {
        let route = Route::find(&map(0, 3), CLUSTER, holdfast_domain::AccountId::new([5; 16])).unwrap();
        assert_eq!((route.group, route.epoch, route.replicas.len()), (GroupId(1), MapEpoch(3), 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn invariant_the_order_of_lineage_and_epoch_never_goes_back(
            offers in prop::collection::vec((0u32..3, 0u64..6), 1..20),
        ) {
            let key = SoftSigner::generate().unwrap();
            let mut cache = MapCache::new(CLUSTER, key.public());
            let mut highest = None;
            for (lineage, epoch) in offers {
                let taken = cache.offer(&signed(&key, &map(lineage, epoch)));
                let expected = match highest {
                    Some(known) if (lineage, epoch) < known => None,
                    Some(known) if (lineage, epoch) == known => Some(Offer::Known),
                    _ => Some(Offer::Taken),
                };
                prop_assert_eq!(taken.ok(), expected);
                highest = highest.max(Some((lineage, epoch)));
                let newest = cache.newest().unwrap();
                prop_assert_eq!(Some((newest.lineage.0, newest.epoch.0)), highest);
            }
        }

        #[test]
        fn arbitrary_bytes_in_the_file_never_panic(bytes: Vec<u8>) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("map"), bytes).unwrap();
            let key = SoftSigner::generate().unwrap();
            prop_assert!(MapCache::open(CLUSTER, key.public(), dir.path().join("map")).unwrap().newest().is_none());
        }
    }
}
