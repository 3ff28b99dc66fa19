//! sled writes a leaf that is too large for its segment to a file of its own, which no barrier covers: never, with our
//! limits.

use holdfast_store::{
    Batch, KeyRange,
    engine::clear,
    limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES},
};
use tempfile::TempDir;

use crate::{kinds::Kind, workload::Draw};

#[test]
fn invariant_the_largest_keys_and_values_never_leave_the_synced_file() {
    let dir = TempDir::new().unwrap();
    let engine = Kind::Sled.open(dir.path()).unwrap();
    let mut draw = Draw::new(5);
    for round in 0..2 {
        for n in 0..300u64 {
            // In order, then at random over one another, then all gone.
            let n = if round == 0 { n } else { draw.below(300) };
            let mut key = vec![1; MAX_KEY_BYTES];
            key[MAX_KEY_BYTES - 8..].copy_from_slice(&n.to_be_bytes());
            let mut batch = Batch::new();
            batch.put(key, vec![u8::try_from(n % 256).unwrap(); MAX_VALUE_BYTES]);
            engine.write(batch).unwrap();
        }
        engine.barrier().unwrap();
    }
    clear(&*engine, &KeyRange::all()).unwrap();
    engine.barrier().unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
}
