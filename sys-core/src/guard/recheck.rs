//! Calls that last: decided again each second, and ended when the answer is another.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::Shared};
use holdfast_domain::Reason;
use holdfast_proto::module::v1::Route;
use http_body::{Frame, SizeHint};
use tokio::{sync::oneshot, task::AbortHandle};
use tonic::{Status, body::Body};

use super::{Checks, admit::Asking};
use crate::{errors::Refusal, gate::Context};

/// A change of rights ends a call within two of these: one until it is asked, one for the answer.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the gate let a call into.
pub(super) struct Opened {
    pub(super) route: Route,
    pub(super) context: Context,
}

/// Decides one call again and again, for as long as one of its bodies is there.
#[derive(Clone)]
pub(super) struct Watch {
    /// Why the call ends.
    end: Shared<oneshot::Receiver<Refusal>>,
    _task: Arc<Abort>,
}

struct Abort(AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Begins; what no policy was asked about is decided by its caller alone.
    pub(super) fn start(checks: Arc<Checks>, asking: Arc<Asking>, opened: Option<Opened>) -> Self {
        let (ended, end) = oneshot::channel();
        let task = tokio::spawn(async move {
            let refusal = run(&checks, &asking, opened.as_ref()).await;
            record(&asking, opened.as_ref(), &refusal);
            let _ = ended.send(refusal);
        });
        Self { end: end.shared(), _task: Arc::new(Abort(task.abort_handle())) }
    }

    /// Ready when the call is to end, and why.
    pub(super) async fn ended(&self) -> Refusal {
        match self.end.clone().await {
            Ok(refusal) => refusal,
            // The task is aborted with the last watch only.
            Err(_) => std::future::pending().await,
        }
    }

    /// The body, for as long as the call is allowed.
    pub(super) fn over(&self, body: Body) -> Body {
        Body::new(Watched { body, watch: self.clone(), ended: false })
    }
}

/// Until the call is to end.
async fn run(checks: &Checks, asking: &Asking, opened: Option<&Opened>) -> Refusal {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(refusal) = once(checks, asking, opened).await {
            return refusal;
        }
    }
}

/// Whether a call is decided now as it was when it began. Who cannot be told in time may have lost his rights.
async fn once(checks: &Checks, asking: &Asking, opened: Option<&Opened>) -> Result<(), Refusal> {
    checks.is_still(asking)?;
    let Some(Opened { route, context }) = opened else { return Ok(()) };
    let still = checks.gates.still(&asking.caller, &asking.method, route, context);
    tokio::time::timeout(INTERVAL, still)
        .await
        .unwrap_or_else(|_| Err(Refusal::new(Reason::NotReady).because("nobody says how the caller stands")))
}

/// Waits for a call that is no stream, for as long as it is allowed. One that is cut off may have written already.
pub(super) async fn finish<T>(
    call: impl Future<Output = T>,
    checks: &Checks,
    asking: &Asking,
    opened: Option<&Opened>,
) -> Result<T, Refusal> {
    let mut call = std::pin::pin!(call);
    loop {
        if let Ok(finished) = tokio::time::timeout(INTERVAL, &mut call).await {
            return Ok(finished);
        }
        once(checks, asking, opened).await.inspect_err(|refusal| record(asking, opened, refusal))?;
    }
}

fn record(asking: &Asking, opened: Option<&Opened>, refusal: &Refusal) {
    asking.record(opened.map(|opened| opened.context.home()), None, Err(refusal.reason()));
}

struct Watched {
    body: Body,
    watch: Watch,
    ended: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Ok(refusal)) = self.watch.end.poll_unpin(task) {
            self.ended = true;
            return Poll::Ready(Some(Err(refusal.into())));
        }
        Pin::new(&mut self.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
