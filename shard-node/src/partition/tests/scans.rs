//! Scans: rows that are left out, rows that stand for others, and what cursors are good for.

use std::sync::Arc;

use holdfast_domain::{Reason, Sha256Hash};
use holdfast_sys_core::{
    Refusal,
    limits::MAX_SCAN_PREFIXES,
    module::{Cursor, Op, Partition, RecordKey, Row, Scan, Select},
};

use super::support::{Node, fresh_id, name};

/// Rows that begin with a letter; with `follow`, those that the visited ones lead to: `index/…/x` stands for `f/x`.
struct Beginning {
    with: u8,
    follow: bool,
}

impl Select for Beginning {
    fn target(&self, visited: &RecordKey) -> Result<Option<RecordKey>, Refusal> {
        let last = visited.components().last().unwrap().clone();
        Ok(self.follow.then(|| RecordKey::new([b"f".to_vec(), last]).unwrap()))
    }

    fn admits(&self, visited: &RecordKey, row: &Row) -> Result<bool, Refusal> {
        assert_eq!(visited != &row.key, self.follow);
        Ok(row.value.first() == Some(&self.with))
    }
}

fn scan(prefixes: &[RecordKey], follow: bool, bound_to: u8) -> Scan {
    let select = Arc::new(Beginning { with: b'a', follow });
    Scan { prefixes: prefixes.to_vec(), select, bound_to: Some(Sha256Hash::new([bound_to; 32])) }
}

async fn put(home: &dyn Partition, key: RecordKey, value: &str) {
    let ops = vec![Op::Put { key, value: value.as_bytes().to_vec() }];
    home.commit(fresh_id(), vec![], ops).await.unwrap();
}

async fn all(home: &dyn Partition, scan: &Scan, limit: usize) -> Vec<String> {
    let (mut found, mut cursor): (Vec<_>, Option<Cursor>) = (vec![], None);
    loop {
        let page = home.scan(scan, cursor.as_ref(), limit).await.unwrap();
        assert!(page.rows.len() <= limit);
        found.extend(page.rows.into_iter().map(|row| String::from_utf8(row.value).unwrap()));
        cursor = page.next;
        if cursor.is_none() {
            found.sort();
            return found;
        }
    }
}

#[tokio::test]
async fn a_scan_gives_what_it_selects_over_all_prefixes_for_any_page_size() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    for number in 0..24 {
        let letter = ["a", "b", "c"][number % 3];
        put(&*home, name(["f", &number.to_string()]), &format!("{letter}{number}")).await;
        put(&*home, name(["index", letter, &number.to_string()]), "").await;
    }
    // One that leads nowhere.
    put(&*home, name(["index", "a", "gone"]), "").await;
    let rows = scan(&[name(["f"])], false, 0);
    let index = scan(&[name(["index", "b"]), name(["index", "a"])], true, 0);
    let wanted: Vec<_> = all(&*home, &rows, 1000).await;
    assert_eq!(wanted.len(), 8);
    for limit in [1, 3, 8, 9] {
        assert_eq!(all(&*home, &rows, limit).await, wanted);
        assert_eq!(all(&*home, &index, limit).await, wanted);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_cursor_is_good_for_the_same_prefixes_and_hash_only() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    for number in 0..4 {
        put(&*home, name(["f", &number.to_string()]), "a").await;
    }
    let (f, g) = (name(["f"]), name(["g"]));
    let next = home.scan(&scan(std::slice::from_ref(&f), false, 1), None, 2).await.unwrap().next.unwrap();
    let others = [
        scan(std::slice::from_ref(&f), false, 2),
        scan(&[f.clone(), g.clone()], false, 1),
        scan(std::slice::from_ref(&g), false, 1),
        scan(&[name(["f", "g"])], false, 1),
        Scan::all(f.clone()),
    ];
    for other in others {
        let refused = home.scan(&other, Some(&next), 2).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Malformed);
    }
    assert_eq!(
        home.scan(&scan(std::slice::from_ref(&f), false, 1), Some(&next), 2).await.unwrap().rows.len(),
        2
    );
    let many = scan(&vec![f; MAX_SCAN_PREFIXES + 1], false, 1);
    assert_eq!(home.scan(&many, None, 1).await.unwrap_err().reason(), Reason::Malformed);
    node.stop().await;
}
