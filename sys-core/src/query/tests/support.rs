//! Callers with scopes on one home.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use holdfast_authz::{RowFilter, Scope, Test};
use holdfast_domain::{AccountId, Check, ClientId, CommandId, FieldValue, Home, Reason};

use super::note::Note;
use crate::{
    Caller, Refusal,
    module::Cursor,
    query::{Batch, Binding, By, QueryError, RowKey, Stored, Table},
    testing::MemoryHome,
};

/// A home, and requests to it.
pub(super) struct Desk {
    pub(super) home: Arc<MemoryHome>,
    commands: AtomicU64,
}

/// One request's way to the notes.
pub(super) struct Request {
    pub(super) binding: Arc<Binding>,
    pub(super) notes: Table<Note>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { home: MemoryHome::new(AccountId::new([1; 16])), commands: AtomicU64::new(0) }
    }

    /// A command id that nobody used.
    pub(super) fn command(&self) -> CommandId {
        let mut id = [0; CommandId::LEN];
        id[..8].copy_from_slice(&self.commands.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        CommandId::new(id)
    }

    /// A request of a client that may do this.
    pub(super) fn request(&self, client: u8, scope: Scope) -> Request {
        self.request_with(client, scope, None)
    }

    pub(super) fn request_with(&self, client: u8, scope: Scope, unfiltered: Option<&str>) -> Request {
        let client = ClientId::new([client; 16]);
        let home = Home { account: AccountId::new([1; 16]), quota_bytes: 1 << 30 };
        let check = Check {
            action: "edit".to_owned(),
            entity: "Note".to_owned(),
            unfiltered: unfiltered.map(str::to_owned),
        };
        let partition = self.home.partition(client);
        let binding = Binding::new(partition, Caller::Client { client, home }, "test", check);
        Request { notes: binding.table(scope), binding }
    }

    /// Somebody who sees everything.
    pub(super) fn everything(&self) -> Table<Note> {
        self.request(99, Scope::Always).notes
    }

    pub(super) async fn store(&self, notes: impl IntoIterator<Item = Note>) {
        let table = self.everything();
        for note in notes {
            table.put(self.command(), &note).await.unwrap();
        }
    }

    /// Index rows that are there, and those that the rows bear out.
    pub(super) fn assert_indexes_exact(&self) {
        use crate::query::{Entity as _, names::Names};
        let (rows, index): (Vec<_>, Vec<_>) =
            self.home.records().into_iter().partition(|row| row.key.components()[0] == b"notes");
        let wanted = rows.iter().flat_map(|row| {
            Names(Note::schema()).index_rows(&Note::decode(&row.value).unwrap().fields()).unwrap()
        });
        let wanted: std::collections::BTreeSet<_> = wanted.collect();
        let there: std::collections::BTreeSet<_> = index.into_iter().map(|row| row.key).collect();
        assert_eq!(there, wanted, "stale or missing index rows");
    }
}

impl Request {
    pub(super) fn batch(&self, command: CommandId) -> Batch {
        self.binding.batch(command)
    }
}

/// Rows of one owner.
pub(super) fn owned_by(owner: &str) -> Scope {
    Scope::Rows(RowFilter::Field("owner".to_owned(), Test::Is(owner.into())))
}

pub(super) fn key(folder: &str, number: i64) -> RowKey {
    RowKey::new([FieldValue::from(folder), number.into()]).unwrap()
}

/// All rows of a listing, page by page.
pub(super) async fn list(table: &Table<Note>, by: &By, limit: usize) -> Vec<Note> {
    let (mut notes, mut cursor): (_, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = table.list(by, cursor.as_ref(), limit).await.unwrap();
        assert!(page.rows.len() <= limit);
        notes.extend(page.rows.into_iter().map(Stored::into_row));
        cursor = page.next;
        if cursor.is_none() {
            return notes;
        }
    }
}

/// What a client would be told.
pub(super) fn refused<T>(result: Result<T, QueryError>) -> Reason {
    Refusal::from(result.err().expect("it was not refused")).reason()
}
