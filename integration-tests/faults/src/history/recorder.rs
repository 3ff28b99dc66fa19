//! Taking calls down while they happen.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{Action, Ended, Operation, Value};

/// Records the calls of many clients in one order of begins and ends.
#[derive(Debug, Default)]
pub struct Recorder {
    clock: AtomicU64,
    values: AtomicU64,
    done: Mutex<Vec<Operation>>,
}

/// A call under way. Dropped without a word, its answer counts as lost.
#[derive(Debug)]
#[must_use = "say how it ended"]
pub struct Call<'a> {
    recorder: &'a Recorder,
    operation: Option<Operation>,
}

impl Recorder {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that nobody got before.
    pub fn new_value(&self) -> Value {
        Value(self.values.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// A put begins.
    pub fn put(&self, client: u32, key: &str, value: Value) -> Call<'_> {
        self.begin(client, key, Action::Put(value))
    }

    /// A delete begins.
    pub fn delete(&self, client: u32, key: &str) -> Call<'_> {
        self.begin(client, key, Action::Delete)
    }

    /// A read begins.
    pub fn read(&self, client: u32, key: &str) -> Call<'_> {
        self.begin(client, key, Action::Read(None))
    }

    /// What was recorded so far. Calls under way are not in it: let them end first.
    pub fn history(&self) -> Vec<Operation> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls were answered so far.
    pub fn answered(&self) -> usize {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().filter(|operation| operation.is_answered()).count()
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(&self, client: u32, key: &str, action: Action) -> Call<'_> {
        let operation =
            Operation { client, key: key.to_owned(), action, began: self.now(), ended: Ended::Never };
        Call { recorder: self, operation: Some(operation) }
    }
}

impl Call<'_> {
    /// A write was acknowledged.
    pub fn acknowledged(mut self) {
        let ended = Ended::At(self.recorder.now());
        self.end(ended, None);
    }

    /// A read was answered.
    pub fn answered(mut self, found: Option<Value>) {
        let ended = Ended::At(self.recorder.now());
        self.end(ended, Some(Action::Read(found)));
    }

    /// It was refused in a way that rules out that it happened or ever will.
    pub fn refused(mut self) {
        self.operation = None;
    }

    /// Its answer was lost.
    pub fn lost(self) {}

    fn end(&mut self, ended: Ended, action: Option<Action>) {
        let Some(mut operation) = self.operation.take() else { return };
        operation.ended = ended;
        operation.action = action.unwrap_or(operation.action);
        // A read without an answer says nothing.
        if operation.is_answered() || operation.is_write() {
            self.recorder.done.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.end(Ended::Never, None);
    }
}
