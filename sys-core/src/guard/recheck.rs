//! Calls that last: decided again each second, and ended when the answer is another.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context as Task, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::Shared};
use holdfast_domain::Reason;
use holdfast_proto::module::v1::Route;
use http_body::{Frame, SizeHint};
use tokio::{sync::oneshot, task::AbortHandle, time::Instant};
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

/// Decides one call again and again, once it has lasted for [`INTERVAL`] and for as long as one of its bodies is there.
///
/// The task that does so begins when the call, or one of its bodies, is waited for: most calls are over before that. A call that nobody
/// waited for and that goes on late, as its client takes what it gets slowly, is decided first.
#[derive(Clone)]
pub(super) struct Watch(Arc<Watching>);

struct Watching {
    call: Arc<Call>,
    began: Instant,
    running: OnceLock<Running>,
}

/// What is decided.
struct Call {
    checks: Arc<Checks>,
    asking: Arc<Asking>,
    /// What no policy was asked about is decided by its caller alone.
    opened: Option<Opened>,
}

struct Running {
    told: Told,
    task: AbortHandle,
}

/// What the task tells.
#[derive(Clone)]
struct Told {
    /// Why the call ends.
    end: Shared<oneshot::Receiver<Refusal>>,
    /// That it was found to be allowed, where that has to be waited for.
    confirmed: Option<Shared<oneshot::Receiver<()>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    pub(super) fn new(checks: Arc<Checks>, asking: Arc<Asking>, opened: Option<Opened>) -> Self {
        let call = Arc::new(Call { checks, asking, opened });
        Self(Arc::new(Watching { call, began: Instant::now(), running: OnceLock::new() }))
    }

    /// Waits for what the call begins with.
    ///
    /// # Errors
    /// Why the call ends before.
    pub(super) async fn during<T>(&self, call: impl Future<Output = T>) -> Result<T, Refusal> {
        let mut call = std::pin::pin!(call);
        if let Ok(done) = tokio::time::timeout_at(self.0.began + INTERVAL, &mut call).await {
            return Ok(done);
        }
        tokio::select! {
            done = call => Ok(done),
            refusal = ended(self.0.told().end) => Err(refusal),
        }
    }

    /// The body, for as long as the call is allowed.
    pub(super) fn over(&self, body: Body) -> Body {
        Body::new(Watched { body, watch: self.clone(), told: None, ended: false })
    }
}

async fn ended(end: Shared<oneshot::Receiver<Refusal>>) -> Refusal {
    match end.await {
        Ok(refusal) => refusal,
        // The task is aborted with the last watch only.
        Err(_) => std::future::pending().await,
    }
}

impl Watching {
    fn is_late(&self) -> bool {
        self.began.elapsed() >= INTERVAL
    }

    fn told(&self) -> Told {
        let running = self.running.get_or_init(|| {
            let (ended, end) = oneshot::channel();
            let (confirm, confirmed) = oneshot::channel();
            let confirmed = self.is_late().then(|| confirmed.shared());
            let (call, began) = (Arc::clone(&self.call), self.began);
            let task = tokio::spawn(async move {
                let refusal = call.run(began, confirm).await;
                record(&call.asking, call.opened.as_ref(), &refusal);
                let _ = ended.send(refusal);
            });
            Running { told: Told { end: end.shared(), confirmed }, task: task.abort_handle() }
        });
        running.told.clone()
    }
}

impl Call {
    /// Until the call is to end.
    async fn run(&self, began: Instant, confirm: oneshot::Sender<()>) -> Refusal {
        let once = || once(&self.checks, &self.asking, self.opened.as_ref());
        tokio::time::sleep_until(began + INTERVAL).await;
        if let Err(refusal) = once().await {
            return refusal;
        }
        let _ = confirm.send(());
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(refusal) = once().await {
                return refusal;
            }
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

impl Told {
    /// Why the call ends, if it does; pending while nobody can say that it goes on.
    fn poll_end(&mut self, task: &mut Task<'_>) -> Poll<Option<Refusal>> {
        if let Poll::Ready(Ok(refusal)) = self.end.poll_unpin(task) {
            return Poll::Ready(Some(refusal));
        }
        match &mut self.confirmed {
            Some(confirmed) => confirmed.poll_unpin(task).map(|_| None),
            None => Poll::Ready(None),
        }
    }
}

struct Watched {
    body: Body,
    watch: Watch,
    /// Once the call is decided again and again.
    told: Option<Told>,
    ended: bool,
}

impl Watched {
    fn poll_end(&mut self, task: &mut Task<'_>) -> Poll<Option<Refusal>> {
        let watching = &self.watch.0;
        if self.told.is_none() && (watching.running.get().is_some() || watching.is_late()) {
            self.told = Some(watching.told());
        }
        self.told.as_mut().map_or(Poll::Ready(None), |told| told.poll_end(task))
    }
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
        if let Some(refusal) = std::task::ready!(self.poll_end(task)) {
            self.ended = true;
            return Poll::Ready(Some(Err(refusal.into())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(task);
        if polled.is_pending() && self.told.is_none() {
            let mut told = self.watch.0.told();
            // For its waker: nothing was decided yet, or it is found at once.
            if told.end.poll_unpin(task).is_ready() {
                task.waker().wake_by_ref();
            }
            self.told = Some(told);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
