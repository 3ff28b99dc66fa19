//! Guards that follow what the server says.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{Capabilities, Known, NavigationGuard, RouteGuard};
use crate::{
    ErrorKind, Home,
    limits::{CAPABILITIES_EVERY, CAPABILITIES_PAUSE},
};

/// The guards of one home, which ask the server again and again: at an interval, after any call of this client that was not permitted, and
/// on request.
pub struct Guards {
    known: watch::Receiver<Known>,
    again: Arc<Notify>,
    task: AbortHandle,
}

impl Guards {
    /// Begins to ask. Must be called from within a tokio runtime.
    pub fn start(home: Home) -> Self {
        Self::every(home, CAPABILITIES_EVERY)
    }

    /// The same at another interval.
    pub fn every(home: Home, interval: Duration) -> Self {
        let (sender, known) = watch::channel(Known::Nothing);
        let again = Arc::new(Notify::new());
        let task = tokio::spawn(follow(home, interval, sender, Arc::clone(&again))).abort_handle();
        Self { known, again, task }
    }

    /// Which places may be entered.
    pub fn routes(&self) -> RouteGuard {
        RouteGuard::over(self.known.clone())
    }

    /// What the navigation shows.
    pub fn navigation(&self) -> NavigationGuard {
        NavigationGuard::over(self.known.clone())
    }

    /// What is known, and each change of it: whoever draws something draws it again then.
    pub fn changes(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// Asks now.
    pub fn refresh(&self) {
        self.again.notify_one();
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(home: Home, interval: Duration, known: watch::Sender<Known>, again: Arc<Notify>) {
    let mut denials = home.shared.denials.subscribe();
    loop {
        // Denials from here on may be newer than the answer.
        denials.borrow_and_update();
        match Capabilities::fetch(&home).await {
            Ok(capabilities) => tell(&known, Known::Said(Arc::new(capabilities))),
            Err(error) => match error.kind() {
                ErrorKind::Refused(reason) => {
                    tell(&known, Known::Refused(reason));
                    // This one was our own.
                    denials.borrow_and_update();
                }
                // Nothing else is known than before.
                ErrorKind::Unavailable | ErrorKind::Failed => {
                    tracing::debug!(error = %holdfast_domain::causes(&error), "capabilities are as old as they are");
                }
            },
        }
        tokio::time::sleep(CAPABILITIES_PAUSE.min(interval)).await;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = again.notified() => {}
            // The sender lives in the home.
            _ = denials.changed() => {}
        }
    }
}

/// Wakes whoever waits for changes, and only for changes.
fn tell(known: &watch::Sender<Known>, now: Known) {
    known.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
}
