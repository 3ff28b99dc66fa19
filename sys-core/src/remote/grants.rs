//! What stands for a call while a module server answers it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use holdfast_domain::{Reason, Sha256Hash};
use tokio::sync::watch;

use crate::{errors::Refusal, gate::Context, limits::MAX_GRANTS};

/// Bytes of a grant.
const GRANT_BYTES: usize = 32;

/// Length of its text.
const GRANT_TEXT: usize = 43;

/// One module's grants. Another module's are unknown here.
#[derive(Clone, Default)]
pub(super) struct Grants(Arc<Mutex<HashMap<Sha256Hash, Live>>>);

/// What a grant is good for, while its call lasts.
#[derive(Clone)]
pub(super) struct Live {
    context: Context,
    ended: watch::Receiver<()>,
}

/// A call's grant; with it the grant ends, and whatever is being done with it.
pub(super) struct Grant {
    text: String,
    name: Sha256Hash,
    grants: Grants,
    _alive: watch::Sender<()>,
}

impl Grants {
    /// A grant for one call.
    ///
    /// # Errors
    /// `Overloaded` when the module answers too many calls already.
    pub(super) fn issue(&self, context: Context) -> Result<Grant, Refusal> {
        let bytes: [u8; GRANT_BYTES] =
            holdfast_keys::random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let name = Sha256Hash::of(text.as_bytes());
        let (alive, ended) = watch::channel(());
        let mut live = self.live();
        if live.len() >= MAX_GRANTS {
            return Err(Refusal::new(Reason::Overloaded).because("a module server has too many open calls"));
        }
        live.insert(name, Live { context, ended });
        drop(live);
        Ok(Grant { text, name, grants: self.clone(), _alive: alive })
    }

    /// What a grant is good for. It is found by its hash, so the time that takes says nothing of others.
    ///
    /// # Errors
    /// `GrantUnknown`, whatever else it may be.
    pub(super) fn find(&self, text: &str) -> Result<Live, Refusal> {
        let known = || Some(self.live().get(&Sha256Hash::of(text.as_bytes()))?.clone());
        let found = if text.len() == GRANT_TEXT { known() } else { None };
        found.ok_or(Reason::GrantUnknown.into())
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Sha256Hash, Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.live().len()
    }
}

impl Grant {
    /// For the module server.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.grants.live().remove(&self.name);
    }
}

impl Live {
    /// Does something with what the grant is good for, unless the call ends first: then it is cut off, though it may have written already.
    ///
    /// # Errors
    /// `GrantUnknown` when the call ends.
    pub(super) async fn act<T>(
        self,
        action: impl AsyncFnOnce(Context) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Self { context, mut ended } = self;
        let gone = async move {
            // Nothing is ever sent: the only news is that the sender is gone.
            while ended.changed().await.is_ok() {}
        };
        tokio::select! {
            biased;
            () = gone => Err(Reason::GrantUnknown.into()),
            done = action(context) => done,
        }
    }
}
