//! Slots that change hands, against a model: whatever the order of writes, pulls, fences, crashes and second thoughts, each
//! command counts once, none is lost, and no two groups serve.

mod decisions;
mod drive;
mod frozen;
mod invariants;
mod pieces;
mod world;

use std::sync::{Arc, OnceLock};

use holdfast_store::Engine;

pub(super) use self::frozen::frozen;
use super::support::engine;

fn shared_engine() -> Arc<dyn Engine> {
    static ENGINE: OnceLock<(tempfile::TempDir, Arc<dyn Engine>)> = OnceLock::new();
    let (_, engine) = ENGINE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        (dir, engine)
    });
    Arc::clone(engine)
}
