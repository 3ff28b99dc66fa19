//! A group's log for who watches over it: what the disk holds, and what members acknowledged. Keeps no files open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::engine::LogEngine;
use super::load::{self, FLOORS};
use super::seal::Place;
use super::tail::Tail;
use crate::Floor;

/// See the module.
#[derive(Clone)]
pub(crate) struct Witness {
    pub(super) engine: Weak<LogEngine>,
    pub(super) place: Place,
    pub(super) tail: Arc<Mutex<Tail>>,
}

impl Witness {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the disk holds for certain: the term of its vote, and the last synced entry.
    pub(crate) fn held(&self) -> Floor {
        let tail = self.tail();
        Floor { term: tail.vote.map_or(0, |vote| vote.leader_id.term), index: tail.synced.unwrap_or(0) }
    }

    /// What members acknowledged, as it was when the log was opened.
    pub(crate) fn floors(&self) -> Vec<(u64, Floor)> {
        self.tail().floors.clone()
    }

    /// Writes what members acknowledged, with whatever is written next.
    pub(crate) fn put_floors(&self, floors: &[(u64, Floor)]) {
        let Some(engine) = self.engine.upgrade() else { return };
        match load::seal(&engine, self.place, FLOORS, &floors) {
            Ok(sealed) => engine.put_lazily(self.place.region, FLOORS, sealed),
            Err(error) => tracing::error!(%error, "floors_not_sealed"),
        }
    }

    /// Writes the values that wait for the next write.
    pub(crate) async fn write_lazy_values(&self) {
        if let Some(engine) = self.engine.upgrade() {
            // A log that is closing writes them on its own.
            let _ = engine.write(self.place.region, Vec::new(), || {}).await;
        }
    }
}
