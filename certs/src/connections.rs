//! The open connections of a server, so that a ban can end those of one identity at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;

use crate::PeerIdentity;

/// All open connections of one or more listeners. Clones share one table.
#[derive(Clone, Default)]
pub struct Connections(Arc<Table>);

#[derive(Default)]
struct Table {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Entry>>,
}

struct Entry {
    identity: Option<Arc<PeerIdentity>>,
    switch: Arc<Switch>,
}

/// Turned off once, by whoever closes the connection; read by the connection itself.
#[derive(Default)]
struct Switch {
    off: AtomicBool,
    waker: AtomicWaker,
}

impl Connections {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every connection whose peer showed a certificate that `doomed` picks, and says how many.
    /// Reads and writes in progress fail at once, and with them all streams on the connection.
    pub fn close_where(&self, doomed: impl Fn(&PeerIdentity) -> bool) -> usize {
        self.close(|identity| identity.is_some_and(&doomed))
    }

    /// Ends every connection, anonymous ones too.
    pub fn close_all(&self) -> usize {
        self.close(|_| true)
    }

    /// Number of open connections.
    pub fn len(&self) -> usize {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn register(&self, identity: Option<Arc<PeerIdentity>>) -> OpenConnection {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let switch = Arc::new(Switch::default());
        let entry = Entry { identity, switch: Arc::clone(&switch) };
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        OpenConnection { table: self.clone(), id, switch }
    }

    fn close(&self, doomed: impl Fn(Option<&PeerIdentity>) -> bool) -> usize {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let doomed = open.values().filter(|entry| doomed(entry.identity.as_deref()));
        doomed.filter(|entry| !entry.switch.turn_off()).count()
    }
}

impl Switch {
    /// Returns whether it was off already.
    fn turn_off(&self) -> bool {
        let was_off = self.off.swap(true, Ordering::AcqRel);
        self.waker.wake();
        was_off
    }
}

/// A connection's entry in the table, gone when this is dropped.
pub(crate) struct OpenConnection {
    table: Connections,
    id: u64,
    switch: Arc<Switch>,
}

impl OpenConnection {
    /// Whether somebody closed this connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.switch.off.load(Ordering::Acquire)
    }

    /// Ready when somebody closes this connection; the task that polls last is woken.
    pub(crate) fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        self.switch.waker.register(context.waker());
        if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.table.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
