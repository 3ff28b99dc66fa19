//! What the trait promises, for any engine.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use holdfast_store::{
    Batch, Engine, EngineError, KeyRange, Page, ScanLimit, View,
    engine::clear,
    limits::{MAX_BATCH_OPS, MAX_KEY_BYTES, MAX_VALUE_BYTES, MAX_VIEWS},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tempfile::TempDir;

use crate::kinds::Kind;

/// The whole suite on one engine.
fn conforms(kind: Kind) {
    batches_are_what_reads_see(kind);
    limits_are_refused_and_change_nothing(kind);
    pages_go_on_where_they_ended(kind);
    a_view_stays_what_it_was(kind);
    views_are_bounded(kind);
    a_page_never_shows_half_a_batch(kind);
    one_process_at_a_time(kind);
    a_store_is_cleared_by_range(kind);
    it_is_a_map_with_frozen_views(kind);
}

#[test]
fn sled_conforms() {
    conforms(Kind::Sled);
}

#[test]
fn redb_conforms() {
    conforms(Kind::Redb);
}

#[test]
fn writes_behind_conform() {
    conforms(Kind::Behind);
}

fn key(n: u32) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

fn put_all(engine: &dyn Engine, keys: impl IntoIterator<Item = u32>, value: &'static [u8]) {
    let mut batch = Batch::new();
    keys.into_iter().for_each(|n| batch.put(key(n), value));
    engine.write(batch).unwrap();
}

fn keys(page: &Page) -> Vec<u32> {
    page.rows.iter().map(|row| u32::from_be_bytes(row.key[..].try_into().unwrap())).collect()
}

fn batches_are_what_reads_see(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    assert_eq!(engine.get(b"a").unwrap(), None);
    let mut batch = Batch::new();
    batch.put("a", "1");
    batch.put("b", "1");
    batch.put("a", "2");
    batch.delete("b");
    batch.delete("never there");
    batch.put("", "the empty key");
    batch.put("empty value", "");
    engine.write(batch).unwrap();
    assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(engine.get(b"b").unwrap(), None);
    assert_eq!(engine.get(b"").unwrap().as_deref(), Some(&b"the empty key"[..]));
    assert_eq!(engine.get(b"empty value").unwrap().as_deref(), Some(&b""[..]));
    engine.barrier().unwrap();
    assert!(engine.disk_size().unwrap() > 0);
    drop(engine);
    let engine = kind.open(dir.path()).unwrap();
    assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(engine.scan(&KeyRange::all(), ScanLimit::MAX).unwrap().rows.len(), 3);
}

fn limits_are_refused_and_change_nothing(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    let with = |key: Vec<u8>, value: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put("first", "x");
        batch.put(key, value);
        engine.write(batch)
    };
    assert!(matches!(with(vec![1; MAX_KEY_BYTES + 1], vec![]), Err(EngineError::KeyTooLong { .. })));
    assert!(matches!(with(vec![1], vec![1; MAX_VALUE_BYTES + 1]), Err(EngineError::ValueTooLarge { .. })));
    let many = (0..=u32::try_from(MAX_BATCH_OPS).unwrap()).fold(Batch::new(), |mut batch, n| {
        batch.delete(key(n));
        batch
    });
    assert!(matches!(engine.write(many), Err(EngineError::BatchTooLarge { .. })));
    assert_eq!(engine.get(b"first").unwrap(), None);
    with(vec![1; MAX_KEY_BYTES], vec![1; MAX_VALUE_BYTES]).unwrap();
    assert_eq!(engine.get(&[1; MAX_KEY_BYTES]).unwrap().unwrap().len(), MAX_VALUE_BYTES);
}

fn pages_go_on_where_they_ended(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    put_all(&*engine, 0..1000, b"0123456789");
    let range = KeyRange::between(key(100), key(900));
    for limit in
        [ScanLimit::rows(7), ScanLimit::MAX.with_bytes(100), ScanLimit::MAX.with_bytes(0), ScanLimit::MAX]
    {
        let (mut seen, mut rest) = (Vec::new(), Some(range.clone()));
        while let Some(range) = rest {
            let page = engine.scan(&range, limit).unwrap();
            seen.extend(keys(&page));
            rest = page.next.map(|next| range.starting_at(next));
        }
        assert_eq!(seen, (100..900).collect::<Vec<_>>());
    }
    assert_eq!(engine.scan(&range, ScanLimit::rows(7)).unwrap().rows.len(), 7);
    assert_eq!(engine.scan(&range, ScanLimit::MAX.with_bytes(100)).unwrap().rows.len(), 8);
    let backwards = KeyRange::between(key(9), key(3));
    assert_eq!(engine.scan(&backwards, ScanLimit::MAX).unwrap(), Page::default());
}

fn a_view_stays_what_it_was(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    put_all(&*engine, 0..100, b"old");
    let view = engine.view(KeyRange::between(key(10), key(90))).unwrap();
    put_all(&*engine, (0..100).step_by(2), b"new");
    put_all(&*engine, 30..35, b"new");
    let mut batch = Batch::new();
    (20..50).for_each(|n| batch.delete(key(n)));
    (1000..1010).for_each(|n| batch.put(key(n), "new"));
    batch.put([&key(50)[..], b"between"].concat(), "new");
    engine.write(batch).unwrap();
    for limit in [ScanLimit::rows(7), ScanLimit::MAX] {
        let rows = read_all(&*view, limit);
        assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), (10..90).map(key).collect::<Vec<_>>());
        assert!(rows.values().all(|value| &value[..] == b"old"));
    }
    let outside = view.scan(&KeyRange::between(key(0), key(12)), ScanLimit::MAX).unwrap();
    assert_eq!(keys(&outside), [10, 11]);
    assert_eq!(engine.get(&key(20)).unwrap(), None);
}

fn read_all(view: &dyn View, limit: ScanLimit) -> BTreeMap<Bytes, Bytes> {
    let (mut rows, mut rest) = (BTreeMap::new(), Some(view.range().clone()));
    while let Some(range) = rest {
        let page = view.scan(&range, limit).unwrap();
        rows.extend(page.rows.into_iter().map(|row| (row.key, row.value)));
        rest = page.next.map(|next| range.starting_at(next));
    }
    rows
}

fn views_are_bounded(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    let views: Vec<_> = (0..MAX_VIEWS).map(|_| engine.view(KeyRange::all()).unwrap()).collect();
    assert!(matches!(engine.view(KeyRange::all()), Err(EngineError::TooManyViews)));
    drop(views);
    engine.view(KeyRange::all()).unwrap();
}

fn a_page_never_shows_half_a_batch(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    put_all(&*engine, 0..200, b"a");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                put_all(&*engine, 0..200, b"b");
                put_all(&*engine, 0..200, b"a");
            }
        });
        for _ in 0..200 {
            let view = engine.view(KeyRange::all()).unwrap();
            let page = engine.scan(&KeyRange::all(), ScanLimit::MAX).unwrap();
            let first = page.rows[0].value.clone();
            assert!(page.rows.iter().all(|row| row.value == first), "half a batch in a page");
            let rows = read_all(&*view, ScanLimit::rows(30));
            let first = rows.values().next().unwrap();
            assert!(rows.len() == 200 && rows.values().all(|value| value == first), "half a batch in a view");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn one_process_at_a_time(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    assert!(matches!(kind.open(dir.path()), Err(EngineError::InUse { .. })));
    put_all(&*engine, 0..10, b"still works");
    // Again and again: an engine that was dropped may take a moment to let go.
    drop(engine);
    for _ in 0..3 {
        drop(kind.open(dir.path()).unwrap());
    }
}

fn a_store_is_cleared_by_range(kind: Kind) {
    let dir = TempDir::new().unwrap();
    let engine = kind.open(dir.path()).unwrap();
    put_all(&*engine, 0..5000, b"x");
    assert_eq!(clear(&*engine, &KeyRange::between(key(10), key(4990))).unwrap(), 4980);
    assert_eq!(engine.scan(&KeyRange::all(), ScanLimit::MAX).unwrap().rows.len(), 20);
}

/// Random batches against a `BTreeMap`, with views opened on the way and compared at the end.
fn it_is_a_map_with_frozen_views(kind: Kind) {
    let op = (0u32..60, prop::option::of(prop::collection::vec(any::<u8>(), 0..40)));
    let batch = (prop::collection::vec(op, 1..20), prop::bool::weighted(0.3));
    let batches = prop::collection::vec(batch, 1..25);
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&batches, |batches| {
        let dir = TempDir::new().unwrap();
        let mut engine = kind.open(dir.path()).unwrap();
        let mut model = BTreeMap::<Bytes, Bytes>::new();
        let mut views = Vec::new();
        for (ops, open_view) in batches {
            if open_view {
                views.push((engine.view(KeyRange::between(key(5), key(50))).unwrap(), model.clone()));
            }
            let mut batch = Batch::new();
            for (n, value) in ops {
                match value {
                    Some(value) => {
                        model.insert(key(n), value.clone().into());
                        batch.put(key(n), value);
                    }
                    None => {
                        model.remove(&key(n));
                        batch.delete(key(n));
                    }
                }
            }
            engine.write(batch).unwrap();
        }
        for (view, mut then) in views {
            then.retain(|found, _| view.range().contains(found));
            prop_assert_eq!(read_all(&*view, ScanLimit::rows(3)), then);
        }
        engine.barrier().unwrap();
        drop(engine);
        engine = kind.open(dir.path()).unwrap();
        let page = engine.scan(&KeyRange::all(), ScanLimit::MAX).unwrap();
        let rows: BTreeMap<_, _> = page.rows.into_iter().map(|row| (row.key, row.value)).collect();
        prop_assert_eq!(rows, model);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{kind:?}: {failure}");
    }
}

#[test]
fn a_sled_view_under_which_too_much_changed_says_so_and_writes_go_on() {
    let dir = TempDir::new().unwrap();
    let engine = Kind::Sled.open(dir.path()).unwrap();
    let value = vec![7; 60 * 1024];
    let fill = || {
        for n in 0..100 {
            let mut batch = Batch::new();
            batch.put(key(n), value.clone());
            engine.write(batch).unwrap();
        }
    };
    fill();
    let view = engine.view(KeyRange::all()).unwrap();
    let elsewhere = engine.view(KeyRange::between(key(1000), key(2000))).unwrap();
    fill();
    let scanned = view.scan(&KeyRange::all(), ScanLimit::MAX);
    assert!(matches!(scanned, Err(EngineError::ViewOverflow { .. })));
    assert_eq!(elsewhere.scan(&KeyRange::all(), ScanLimit::MAX).unwrap(), Page::default());
    assert_eq!(read_all(&*engine.view(KeyRange::all()).unwrap(), ScanLimit::MAX).len(), 100);
}

#[test]
fn a_damaged_sled_store_is_an_error_and_not_a_panic() {
    let dir = TempDir::new().unwrap();
    for _ in 0..2 {
        // The second opening writes a digest of the log.
        let engine = Kind::Sled.open(dir.path()).unwrap();
        put_all(&*engine, 0..1000, b"value");
        engine.barrier().unwrap();
    }
    let paths = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let digests: Vec<_> =
        paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect();
    assert!(!digests.is_empty());
    digests.iter().for_each(|digest| std::fs::write(digest, [7; 40]).unwrap());
    assert!(matches!(Kind::Sled.open(dir.path()), Err(EngineError::Damaged { .. })));
}

#[test]
fn a_sled_store_whose_openings_never_came_back_counts_as_damaged() {
    let dir = TempDir::new().unwrap();
    drop(Kind::Sled.open(dir.path()).unwrap());
    std::fs::write(dir.path().join("opening"), [1]).unwrap();
    drop(Kind::Sled.open(dir.path()).unwrap());
    std::fs::write(dir.path().join("opening"), [2]).unwrap();
    assert!(matches!(Kind::Sled.open(dir.path()), Err(EngineError::Damaged { .. })));
}
