//! The end of streams that have none: they would hold a stopping server until the drain cuts them off.

use futures::{Stream, StreamExt as _};
use tokio::sync::watch;

/// Tells endless streams that their server begins to stop. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Stopping(watch::Sender<bool>);

impl Stopping {
    /// Ends the streams of now and of later.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Ready when the stop begins.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut state = self.0.subscribe();
        let own = self.0.clone();
        async move {
            // The sender is held here, so that this is ready for one reason only.
            let _ = state.wait_for(|begun| *begun).await;
            drop(own);
        }
    }

    /// A stream that ends with the server.
    pub fn ends<S: Stream + Send>(&self, stream: S) -> impl Stream<Item = S::Item> + Send + use<S> {
        stream.take_until(self.begun())
    }
}
