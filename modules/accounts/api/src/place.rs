//! Where a membership holds.

use std::{fmt, str::FromStr};

use holdfast_domain::ProjectId;

/// How rows and requests write the organisation itself: no project's id looks like it.
const ORGANISATION: &str = "organisation";

/// The organisation of the home, or one of its projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The organisation.
    Organisation,
    /// One of its projects.
    Project(ProjectId),
}

/// A text that is no place; each place has one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither `organisation` nor a project's id in lower-case hex")]
pub struct NotAPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation => f.write_str(ORGANISATION),
            Self::Project(id) => id.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let place = match text {
            ORGANISATION => Some(Self::Organisation),
            text => text.parse().ok().map(Self::Project),
        };
        place.filter(|place| place.to_string() == text).ok_or(NotAPlace)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_survives_its_text(id: [u8; 16]) {
            for place in [Place::Organisation, Place::Project(ProjectId::new(id))] {
                prop_assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
            }
        }

        #[test]
        fn whatever_is_read_has_one_text(text in "[0-9a-fA-F]{31,33}|organisation|Organisation|\\PC*") {
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string(), text);
            }
        }
    }
}
