//! A disk that is really full.

use holdfast_store::{Batch, EngineError, SegmentError, SegmentStore, segments::SegmentOptions};

use crate::{child::chunk, device::device, kinds::Kind};

#[test]
fn a_full_disk_refuses_writes_and_leaves_the_engine_readable() {
    for kind in Kind::ALL {
        let Some(device) = device(192) else { return };
        let folder = device.folder();
        let engine = kind.open_with_reserve(&folder, 48 << 20).unwrap();
        let put = |n: u32| {
            let mut batch = Batch::new();
            batch.put(n.to_be_bytes().to_vec(), vec![u8::try_from(n % 256).unwrap(); 60 * 1024]);
            engine.write(batch)
        };
        let (written, error) = (0u32..4000)
            .find_map(|n| put(n).and_then(|()| engine.barrier()).err().map(|error| (n, error)))
            .unwrap();
        assert!(matches!(error, EngineError::DiskFull { .. }), "{error:?}");
        assert!(written > 100);
        for n in 0..written {
            assert_eq!(
                engine.get(&n.to_be_bytes()).unwrap().unwrap()[..],
                vec![u8::try_from(n % 256).unwrap(); 60 * 1024]
            );
        }
        let mut batch = Batch::new();
        batch.delete(0u32.to_be_bytes().to_vec());
        engine.write(batch).unwrap();
        engine.barrier().unwrap();
        drop(engine);
        let engine = kind.open_with_reserve(&folder, 48 << 20).unwrap();
        assert_eq!(engine.get(&0u32.to_be_bytes()).unwrap(), None);
        assert!(engine.get(&(written - 1).to_be_bytes()).unwrap().is_some());
    }
}

#[test]
fn a_full_disk_refuses_chunks_and_leaves_the_segments_readable() {
    let Some(device) = device(64) else { return };
    // No reserve: the operating system itself says that there is no room.
    let options = SegmentOptions { segment_bytes: 8 << 20, reserve_bytes: 0, ..SegmentOptions::default() };
    let store = SegmentStore::open(&device.folder(), options).unwrap();
    let append = |n: u64| {
        let (new, sealed) = chunk(3, n);
        store.append(&new, &sealed)
    };
    let (written, error) = (0..4000).find_map(|n| append(n).err().map(|error| (n, error))).unwrap();
    assert!(matches!(error, SegmentError::DiskFull { .. }), "{error:?}");
    store.sync_all().unwrap();
    let reads = |n: u64| {
        let (new, sealed) = chunk(3, n);
        store.read(new.id).unwrap().is_some_and(|found| found == sealed)
    };
    assert!(written > 50 && (0..written).all(reads));
    store.delete_upload(chunk(3, 0).0.upload).unwrap();
    assert!(!reads(0) && reads(written - 1));
    drop(store);
    let store = SegmentStore::open(&device.folder(), options).unwrap();
    assert!(store.read(chunk(3, written - 1).0.id).unwrap().is_some());
}
