//! May this place be entered?

use std::sync::Arc;

use holdfast_domain::Reason;
use tokio::sync::watch;

use super::{Capabilities, Known, Screen};

/// Opens and closes the places of an application.
#[derive(Debug, Clone)]
pub struct RouteGuard {
    known: watch::Receiver<Known>,
}

/// What a guard says of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Access {
    /// This screen is there.
    Open(Screen),
    /// Nothing is there for this caller.
    Closed {
        /// Why.
        because: Because,
    },
}

/// Why a place is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Because {
    /// Ask again in a moment.
    #[error("the server has not said yet what may be done here")]
    NotHeard,
    /// There is no such screen, or it is of no use to the caller: the server does not say which.
    #[error("no such screen is open")]
    NotOffered,
    /// The server does not talk to this caller.
    #[error("{}", .0.text())]
    Refused(Reason),
}

impl RouteGuard {
    /// By what is known at each moment.
    pub(super) const fn over(known: watch::Receiver<Known>) -> Self {
        Self { known }
    }

    /// By one answer, for ever.
    pub fn of(capabilities: Capabilities) -> Self {
        let (_, known) = watch::channel(Known::Said(Arc::new(capabilities)));
        Self { known }
    }

    /// Whether a place may be entered. It is the path of an address alone, such as `/notes/17`.
    pub fn check(&self, place: &str) -> Access {
        let known = self.known.borrow();
        let because = match &*known {
            Known::Nothing => Because::NotHeard,
            Known::Refused(reason) => Because::Refused(*reason),
            Known::Said(capabilities) => {
                let found = capabilities.screens().iter().find(|screen| screen.path.covers(place));
                return match found {
                    Some(screen) => Access::Open(screen.clone()),
                    None => Access::Closed { because: Because::NotOffered },
                };
            }
        };
        Access::Closed { because }
    }
}
