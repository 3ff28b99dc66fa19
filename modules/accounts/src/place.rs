//! Where a membership holds.

use std::{fmt, str::FromStr};

use holdfast_domain::{ProjectId, Reason};
use holdfast_sys_core::Refusal;

/// How rows and requests write the organisation itself: no project's id looks like it.
const ORGANISATION: &str = "organisation";

/// The organisation of the home, or one of its projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Organisation,
    Project(ProjectId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation => f.write_str(ORGANISATION),
            Self::Project(id) => id.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = Refusal;

    /// # Errors
    /// `Malformed` for what is neither; one place has one text.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let place = match text {
            ORGANISATION => Some(Self::Organisation),
            text => text.parse().ok().map(Self::Project),
        };
        place.filter(|place| place.to_string() == text).ok_or_else(|| {
            Refusal::new(Reason::Malformed).because("neither `organisation` nor a project's id")
        })
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
