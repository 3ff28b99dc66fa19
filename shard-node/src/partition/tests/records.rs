//! Records through a partition.

use std::sync::Arc;

use holdfast_domain::Reason;
use holdfast_sys_core::module::{CommitOutcome, Cursor, Op, Partition, Precondition, RecordKey};

use super::support::*;

async fn put(home: &dyn Partition, key: &RecordKey, value: &str) -> CommitOutcome {
    let op = Op::Put { key: key.clone(), value: value.into() };
    home.commit(fresh_id(), vec![], vec![op]).await.unwrap()
}

async fn value(home: &dyn Partition, key: &RecordKey) -> Option<String> {
    home.get(key).await.unwrap().map(|row| String::from_utf8(row.value).unwrap())
}

async fn all(home: &dyn Partition, prefix: &RecordKey, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = home.list(prefix, cursor.as_ref(), limit).await.unwrap();
        assert!(page.rows.len() <= limit);
        found.extend(page.rows.into_iter().map(|row| {
            assert!(row.key.starts_with(prefix));
            let parts = row.key.components().iter().map(|part| String::from_utf8(part.clone()).unwrap());
            parts.collect::<Vec<_>>().join("/")
        }));
        cursor = page.next;
        if cursor.is_none() {
            found.sort();
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_written_read_replaced_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let key = name(["f", "report"]);
    assert_eq!(home.get(&key).await.unwrap(), None);
    assert_eq!(home.list(&name(["f"]), None, 10).await.unwrap().rows, vec![]);
    assert_eq!(put(&*home, &key, "one").await, CommitOutcome::Applied);
    let first = home.get(&key).await.unwrap().unwrap();
    assert_eq!((first.key.clone(), first.value.clone()), (key.clone(), b"one".to_vec()));
    put(&*home, &key, "two").await;
    assert_eq!(value(&*home, &key).await.as_deref(), Some("two"));
    let second = home.get(&key).await.unwrap().unwrap();

    let replace = |pre| {
        home.commit(fresh_id(), vec![pre], vec![Op::Put { key: key.clone(), value: b"three".to_vec() }])
    };
    assert_eq!(replace(Precondition::Is(key.clone(), first.version)).await.unwrap(), CommitOutcome::Conflict);
    assert_eq!(replace(Precondition::Absent(key.clone())).await.unwrap(), CommitOutcome::Conflict);
    assert_eq!(
        replace(Precondition::Is(name(["f", "no"]), second.version)).await.unwrap(),
        CommitOutcome::Conflict
    );
    assert_eq!(replace(Precondition::Is(key.clone(), second.version)).await.unwrap(), CommitOutcome::Applied);
    assert_eq!(value(&*home, &key).await.as_deref(), Some("three"));
    home.commit(fresh_id(), vec![], vec![Op::Delete(key.clone())]).await.unwrap();
    assert_eq!(value(&*home, &key).await, None);
    // Another home of the same name has nothing of it.
    put(&*home, &key, "mine").await;
    assert_eq!(value(&*node.home(2).await, &key).await, None);
    assert!(node.shard.state().verify_digests().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_id_works_once_whatever_it_asks_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let (home, key, id) = (node.home(1).await, name(["a"]), fresh_id());
    let op = |value: &str| vec![Op::Put { key: key.clone(), value: value.into() }];
    assert!(!home.seen(id).await.unwrap());
    assert_eq!(home.commit(id, vec![], op("one")).await.unwrap(), CommitOutcome::Applied);
    assert!(home.seen(id).await.unwrap());
    let absent = vec![Precondition::Absent(key.clone())];
    assert_eq!(home.commit(id, absent, op("two")).await.unwrap(), CommitOutcome::Duplicate);
    assert_eq!(value(&*home, &key).await.as_deref(), Some("one"));
    // Ids of different homes have nothing to do with each other, and a refused id may be used again.
    let other = node.home(2).await;
    assert!(!other.seen(id).await.unwrap());
    let (row, id) = (home.get(&key).await.unwrap().unwrap(), fresh_id());
    let stale = Precondition::Is(name(["b"]), row.version);
    assert_eq!(home.commit(id, vec![stale], op("three")).await.unwrap(), CommitOutcome::Conflict);
    assert_eq!(home.commit(id, vec![], op("four")).await.unwrap(), CommitOutcome::Applied);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_counters_lose_no_step() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let home = Arc::clone(&home);
            tokio::spawn(async move {
                for _ in 0..10 {
                    while !step(&*home).await {}
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&*home, &name(["n"])).await.as_deref(), Some("80"));
    node.stop().await;
}

async fn step(home: &dyn Partition) -> bool {
    let key = name(["n"]);
    let (pre, next) = match home.get(&key).await.unwrap() {
        None => (Precondition::Absent(key.clone()), 1),
        Some(row) => {
            let number: u32 = String::from_utf8(row.value).unwrap().parse().unwrap();
            (Precondition::Is(key.clone(), row.version), number + 1)
        }
    };
    let op = Op::Put { key, value: next.to_string().into_bytes() };
    home.commit(fresh_id(), vec![pre], vec![op]).await.unwrap() == CommitOutcome::Applied
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_finds_what_is_under_a_prefix_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    for number in 0..23 {
        put(&*home, &name(["f", "docs", &format!("n{number:02}")]), "x").await;
    }
    for other in [
        name(["f"]),
        name(["f", "docs"]),
        name(["f", "docsy"]),
        name(["g", "docs"]),
        name(["f", "docs", "a", "b"]),
    ] {
        put(&*home, &other, "x").await;
    }
    let mut expected: Vec<_> = (0..23).map(|number| format!("f/docs/n{number:02}")).collect();
    expected.extend(["f/docs".into(), "f/docs/a/b".into()]);
    expected.sort();
    for limit in [1, 4, 25, 1000] {
        assert_eq!(all(&*home, &name(["f", "docs"]), limit).await, expected, "limit {limit}");
    }
    assert_eq!(all(&*home, &name(["f", "nothing"]), 5).await, Vec::<String>::new());

    let next = home.list(&name(["f"]), None, 3).await.unwrap().next.unwrap();
    let refused =
        |result: Result<_, holdfast_sys_core::errors::Refusal>| result.map(|_| ()).unwrap_err().reason();
    let other_device = node.host.partition(&access(9, 1), ROUTE).await.unwrap();
    assert_eq!(refused(other_device.list(&name(["f"]), Some(&next), 3).await), Reason::Malformed);
    assert_eq!(refused(node.home(2).await.list(&name(["f"]), Some(&next), 3).await), Reason::Malformed);
    assert_eq!(refused(home.list(&name(["g"]), Some(&next), 3).await), Reason::Malformed);
    assert_eq!(refused(home.list(&name(["f"]), Some(&Cursor(vec![1; 900])), 3).await), Reason::Malformed);
    assert!(home.list(&name(["f"]), Some(&next), 3).await.is_ok());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_the_largest_value_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let put = |count: usize, bytes: usize| {
        let op = |number| Op::Put { key: name(["v", &format!("{number}")]), value: vec![7; bytes] };
        home.commit(fresh_id(), vec![], (0..count).map(op).collect())
    };
    assert_eq!(put(1, 40 * 1024).await.unwrap(), CommitOutcome::Applied);
    assert_eq!(put(128, 1024).await.unwrap(), CommitOutcome::Applied);
    for (count, bytes) in [(1, 40 * 1024 + 1), (129, 1), (128, 40 * 1024)] {
        assert_eq!(put(count, bytes).await.unwrap_err().reason(), Reason::Malformed, "{count} × {bytes}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_and_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    for number in 0..50 {
        put(&*home, &name(["k", &format!("{number}")]), &format!("v{number}")).await;
    }
    let image = image_of(dir.path());
    drop(home);
    node.stop().await;
    for folder in [dir.path(), image.path()] {
        let node = Node::start(folder).await;
        let home = node.home(1).await;
        for number in 0..50 {
            let read = value(&*home, &name(["k", &format!("{number}")])).await;
            assert_eq!(read, Some(format!("v{number}")));
        }
        assert!(node.shard.state().verify_digests().unwrap().is_empty());
        assert_eq!(put(&*home, &name(["k", "0"]), "again").await, CommitOutcome::Applied);
        node.stop().await;
    }
}
