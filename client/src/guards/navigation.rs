//! Where can one go from here?

use std::sync::Arc;

use tokio::sync::watch;

use super::{Capabilities, Known};

/// The items of an application's navigation.
#[derive(Debug, Clone)]
pub struct NavigationGuard {
    known: watch::Receiver<Known>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it leads.
    pub path: String,
    /// Its name for people.
    pub title: String,
}

impl NavigationGuard {
    /// By what is known at each moment.
    pub(super) const fn over(known: watch::Receiver<Known>) -> Self {
        Self { known }
    }

    /// By one answer, for ever.
    pub fn of(capabilities: Capabilities) -> Self {
        let (_, known) = watch::channel(Known::Said(Arc::new(capabilities)));
        Self { known }
    }

    /// The items that lead somewhere, in order; none before the server was heard.
    pub fn items(&self) -> Vec<Item> {
        let known = self.known.borrow();
        let shown = known.screens().iter().filter(|screen| screen.navigation && screen.path.is_one_place());
        shown.map(|screen| Item { path: screen.path.to_string(), title: screen.title.clone() }).collect()
    }
}
