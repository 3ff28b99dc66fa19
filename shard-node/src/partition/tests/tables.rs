//! Tables of a module over a home as it is stored: sealed rows, keyed tokens, Raft.

use std::sync::Arc;

use holdfast_accounts_api::v1::Membership;
use holdfast_sys_core::{
    gate::standing_table,
    query::{By, QueryError, RowKey, Table},
};

use super::support::{Node, fresh_id};

const SCOPES: [&str; 3] = ["left", "middle", "right"];

fn row(scope: &str, account: u8) -> Membership {
    Membership { scope: scope.to_owned(), account: vec![account; 16].into(), role: 1, since_ms: 0 }
}

fn key(scope: &str, account: u8) -> RowKey {
    RowKey::new([scope.to_owned(), hex::encode([account; 16])]).unwrap()
}

async fn table(node: &Node) -> Table<Membership> {
    standing_table(node.home(1).await, holdfast_accounts::MODULE)
}

/// All rows of a listing, page by page, sorted, as scope and account.
async fn all(table: &Table<Membership>, by: &By) -> Vec<(String, u8)> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = table.list(by, cursor.as_ref(), 4).await.unwrap();
        rows.extend(page.rows.into_iter().map(|row| (row.row().scope.clone(), row.row().account[0])));
        cursor = page.next;
        if cursor.is_none() {
            rows.sort();
            return rows;
        }
    }
}

fn by_account(account: u8) -> By {
    By::Index("account".to_owned(), hex::encode([account; 16]).into())
}

#[tokio::test]
async fn rows_are_found_by_key_prefix_and_index_and_are_still_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let memberships = table(&node).await;
    for scope in SCOPES {
        for account in 0..7 {
            memberships.insert(fresh_id(), &row(scope, account)).await.unwrap();
        }
    }
    memberships.delete(fresh_id(), &key("left", 3)).await.unwrap();
    drop(memberships);
    node.stop().await;
    let node = Node::start(dir.path()).await;
    let memberships = table(&node).await;
    assert_eq!(all(&memberships, &By::Everything).await.len(), 20);
    let of_middle: Vec<_> = (0..7).map(|account| ("middle".to_owned(), account)).collect();
    assert_eq!(all(&memberships, &By::Prefix(RowKey::new(["middle"]).unwrap())).await, of_middle);
    assert_eq!(all(&memberships, &by_account(3)).await, [("middle".to_owned(), 3), ("right".to_owned(), 3)]);
    assert!(matches!(memberships.get(&key("left", 3)).await, Err(QueryError::NotFound { .. })));
    node.stop().await;
}

#[tokio::test]
async fn a_row_is_stored_once_and_replaced_only_as_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let memberships = table(&node).await;
    memberships.insert(fresh_id(), &row("left", 1)).await.unwrap();
    let twice = memberships.insert(fresh_id(), &row("left", 1)).await;
    assert!(matches!(twice, Err(QueryError::AlreadyExists { .. })), "{twice:?}");
    let read = memberships.get(&key("left", 1)).await.unwrap();
    let raised = Membership { role: 2, ..row("left", 1) };
    memberships.replace(fresh_id(), &raised, read.version()).await.unwrap();
    let late = memberships.replace(fresh_id(), &row("left", 1), read.version()).await;
    assert!(matches!(late, Err(QueryError::Changed { .. })), "{late:?}");
    assert_eq!(memberships.get(&key("left", 1)).await.unwrap().row().role, 2);
    node.stop().await;
}

#[tokio::test]
async fn of_writers_that_meet_each_is_applied_once_and_a_listing_under_way_gives_what_stays_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let memberships = Arc::new(table(&node).await);
    for account in 0..30 {
        memberships.insert(fresh_id(), &row("left", account)).await.unwrap();
    }
    let mut first = memberships.list(&By::Everything, None, 10).await.unwrap();
    // While it is under way: rows come, and every third one goes.
    let come = (100..110).map(|account| {
        let memberships = Arc::clone(&memberships);
        tokio::spawn(async move { memberships.insert(fresh_id(), &row("left", account)).await })
    });
    let go = (0..30).step_by(3).map(|account| {
        let memberships = Arc::clone(&memberships);
        tokio::spawn(async move { memberships.delete(fresh_id(), &key("left", account)).await })
    });
    for write in come.chain(go).collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let mut seen: Vec<u8> = Vec::new();
    loop {
        seen.extend(first.rows.iter().map(|row| row.row().account[0]));
        let Some(next) = first.next else { break };
        first = memberships.list(&By::Everything, Some(&next), 10).await.unwrap();
    }
    for stays in (0..30).filter(|account| account % 3 != 0) {
        assert_eq!(seen.iter().filter(|account| **account == stays).count(), 1, "{stays}");
    }
    seen.sort_unstable();
    let before = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), before, "no row comes twice");
    assert_eq!(all(&memberships, &by_account(105)).await.len(), 1);
    assert_eq!(all(&memberships, &by_account(3)).await.len(), 0);
    node.stop().await;
}
