//! What an application shows to whom: guards over what the servers say their caller may do in a home.
//!
//! Guards protect nothing, because every call is decided by the server; they keep people from screens that are of no use to them. They read
//! [`Capabilities`] and nothing else, and whatever the server did not open is closed: unknown places, and all of them before the first answer.

mod capabilities;
mod live;
mod navigation;
mod route;

pub use capabilities::{Action, Capabilities, Extent, Screen};
pub use live::Guards;
pub use navigation::{Item, NavigationGuard};
pub use route::{Access, Because, RouteGuard};

use std::sync::Arc;

use holdfast_domain::Reason;

/// What is known of a caller's capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Known {
    /// The server has not been heard yet.
    #[default]
    Nothing,
    /// What it said last.
    Said(Arc<Capabilities>),
    /// It refuses to say.
    Refused(Reason),
}

impl Known {
    /// The screens that are open.
    fn screens(&self) -> &[Screen] {
        match self {
            Self::Said(capabilities) => capabilities.screens(),
            Self::Nothing | Self::Refused(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests;
