//! One home, as a client calls the modules that serve it.

mod paging;
mod tries;

use std::{future::Future, sync::Arc};

use holdfast_domain::HomeId;
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

use crate::{Error, client::Shared};

pub(crate) use paging::Paging;
pub(crate) use tries::{Tries, new_command, no_reply};

/// A home. It may be anybody's: servers decide what the caller may do there.
#[derive(Clone)]
pub struct Home {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: HomeId,
}

impl Home {
    /// Whose it is.
    pub const fn id(&self) -> HomeId {
        self.id
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
        let mut tries = self.tries(action);
        let command = new_command()?;
        tries.unary(command, call).await
    }

    /// The tries of an operation of several calls.
    pub(crate) fn tries<'a>(&'a self, action: &'a str) -> Tries<'a> {
        Tries::new(self, action)
    }
}
