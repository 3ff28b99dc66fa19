//! One home, as a client calls the modules that serve it.

mod leaders;
mod paging;
mod tries;
mod turns;

use std::{future::Future, sync::Arc, time::Duration};

use holdfast_domain::HomeId;
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

use crate::{Error, client::Shared};

pub(crate) use leaders::Leaders;
pub(crate) use paging::Paging;
pub(crate) use tries::{Tries, new_command, no_reply};
pub(crate) use turns::{Left, Turns};

/// A home. It may be anybody's: servers decide what the caller may do there.
#[derive(Clone)]
pub struct Home {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: HomeId,
    max_staleness: Duration,
}

impl Home {
    pub(crate) const fn new(shared: Arc<Shared>, id: HomeId) -> Self {
        Self { shared, id, max_staleness: Duration::ZERO }
    }

    /// Whose it is.
    pub const fn id(&self) -> HomeId {
        self.id
    }

    /// The same home with reads ([`Self::read`]) that may be as old as this, 10 minutes at most: any replica answers them at once that heard
    /// from its group's leader within this time. They go on while the group has no leader, and spread over the replicas. What they show may
    /// lack what was written a moment ago, the caller's own writes included.
    #[must_use]
    pub fn stale_ok(mut self, within: Duration) -> Self {
        self.max_staleness = within;
        self
    }

    /// One unary call to the node that serves the home, again and again under one command id until it is answered. The request carries the
    /// route that `call` is given, which names the home and the command.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(Channel, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.tries(action).unary(new_command()?, call).await
    }

    /// The same for a call that only reads: it may be as old as [`Self::stale_ok`] allows.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(Channel, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.reading(action).unary(new_command()?, call).await
    }

    /// The tries of an operation of several calls.
    pub(crate) fn tries<'a>(&'a self, action: &'a str) -> Tries<'a> {
        Tries::new(self, action, Duration::ZERO)
    }

    /// The tries of an operation that only reads.
    pub(crate) fn reading<'a>(&'a self, action: &'a str) -> Tries<'a> {
        Tries::new(self, action, self.max_staleness)
    }
}
