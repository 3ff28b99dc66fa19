//! Whether this voter hears of the newest state: one that is cut off from the others must not keep its watchers in good faith.

use std::sync::Arc;

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{self, MissedTickBehavior},
};

use super::limits::{CONTACT_INTERVAL, CONTACT_PATIENCE};
use crate::core::Core;

/// Asks a quorum again and again; a lone voter is one. Ends when it is dropped.
pub(super) struct Contact {
    asking: Asking,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Asking {
    core: Arc<Core>,
    in_contact: watch::Sender<bool>,
}

impl Contact {
    pub(super) fn start(core: Arc<Core>) -> Self {
        let asking = Asking { core, in_contact: watch::Sender::new(true) };
        Self { task: tokio::spawn(asking.clone().for_ever()), asking }
    }

    /// Asks now.
    pub(super) async fn confirmed(&self) -> bool {
        self.asking.once().await
    }

    /// Ready when the contact is lost.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut state = self.asking.in_contact.subscribe();
        // Without the sender nobody asks any more.
        async move { drop(state.wait_for(|in_contact| !in_contact).await) }
    }
}

impl Drop for Contact {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asking {
    async fn for_ever(self) {
        let mut rounds = time::interval(CONTACT_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.once().await;
        }
    }

    /// One round to the others; whether they answered in time.
    async fn once(&self) -> bool {
        let answered = matches!(time::timeout(CONTACT_PATIENCE, self.core.read_index()).await, Ok(Ok(())));
        let changed = |before: &mut bool| std::mem::replace(before, answered) != answered;
        if self.in_contact.send_if_modified(changed) {
            tracing::info!(in_contact = answered, "watches are served only while other voters answer");
        }
        answered
    }
}
