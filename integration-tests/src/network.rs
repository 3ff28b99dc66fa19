//! Network calls from code that is not asynchronous.

use std::future::Future;

use anyhow::Context as _;

/// Runs calls to their end.
///
/// # Errors
/// Theirs, or no runtime.
pub fn act<T>(calls: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("a runtime")?.block_on(calls)
}
