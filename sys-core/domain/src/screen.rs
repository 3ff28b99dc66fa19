//! Screens of an application, as modules declare them: where they are, and what they need.

use std::{fmt, str::FromStr};

use crate::schema::Check;

/// Longest path in bytes: people read it in an address bar.
pub const MAX_PATH_BYTES: usize = 128;

/// Most segments of a path.
pub const MAX_SEGMENTS: usize = 8;

/// Longest place that is looked at: identifiers in it are longer than the words that stand for them.
pub const MAX_PLACE_BYTES: usize = 2048;

/// One screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenSchema {
    /// Where it is.
    pub path: ScreenPath,
    /// Its name for people.
    pub title: String,
    /// It is of use to whoever may do this to some row at least.
    pub needs: Check,
    /// It is an item of the navigation.
    pub navigation: bool,
}

/// Where a screen is, such as `/notes/{id}`: `{id}` stands for any one segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScreenPath(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Word(String),
    Any(String),
}

/// A text that is no path of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path is / alone, or up to {MAX_SEGMENTS} times / and a lower-case word or {{word}}, at most {MAX_PATH_BYTES} bytes in all"
)]
pub struct NotAPath;

impl ScreenPath {
    /// Whether a place is at this path. Only the path of an address counts: what follows a `?` or `#` is the caller's to cut off.
    pub fn covers(&self, place: &str) -> bool {
        let Some(place) = segments(place).filter(|_| place.len() <= MAX_PLACE_BYTES) else { return false };
        place.len() == self.0.len()
            && self.0.iter().zip(place).all(|(segment, at)| match segment {
                Segment::Word(word) => word == at,
                Segment::Any(_) => !at.is_empty(),
            })
    }

    /// Whether some place is at both paths.
    pub fn meets(&self, other: &Self) -> bool {
        let together = |pair: (&Segment, &Segment)| match pair {
            (Segment::Word(one), Segment::Word(other)) => one == other,
            (Segment::Any(_), _) | (_, Segment::Any(_)) => true,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(together)
    }

    /// Whether it is one place, which one can go to.
    pub fn is_one_place(&self) -> bool {
        self.0.iter().all(|segment| matches!(segment, Segment::Word(_)))
    }
}

impl FromStr for ScreenPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let parts = segments(text).filter(|_| text.len() <= MAX_PATH_BYTES).ok_or(NotAPath)?;
        if parts.len() > MAX_SEGMENTS {
            return Err(NotAPath);
        }
        parts.into_iter().map(Segment::parse).collect::<Option<_>>().map(Self).ok_or(NotAPath)
    }
}

impl fmt::Display for ScreenPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Word(word) => write!(f, "/{word}"),
            Segment::Any(word) => write!(f, "/{{{word}}}"),
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        let word = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let made = word.map_or_else(|| Self::Word(text.to_owned()), |word| Self::Any(word.to_owned()));
        let word = word.unwrap_or(text);
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        (word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(rest)).then_some(made)
    }
}

/// What stands between the slashes; `None` for a text that does not begin with one.
fn segments(text: &str) -> Option<Vec<&str>> {
    let rest = text.strip_prefix('/')?;
    Some(if rest.is_empty() { Vec::new() } else { rest.split('/').collect() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> ScreenPath {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = format!("/{}", "a".repeat(128));
        let texts = [
            "", "notes", "/notes/", "//", "/Notes", "/{}", "/{id", "/a.b", "/..", "/a b", "/1", "/a?b", &long,
        ];
        for text in texts.into_iter().chain(["/a/a/a/a/a/a/a/a/a"]) {
            assert_eq!(text.parse::<ScreenPath>(), Err(NotAPath), "{text:?}");
        }
        for text in ["/", "/notes", "/notes/{id}", "/notes/{id}/edit-all_2"] {
            assert_eq!(path(text).to_string(), text);
        }
    }

    #[test]
    fn a_path_covers_the_places_of_its_form_and_no_other() {
        assert!(path("/").covers("/") && path("/notes/{id}").covers("/notes/A%20b"));
        for place in ["/notes", "/notes/", "/notes/a/b", "notes/a", "/Notes/a", "", "/"] {
            assert!(!path("/notes/{id}").covers(place), "{place}");
        }
        assert!(!path("/{id}").covers(&format!("/{}", "a".repeat(MAX_PLACE_BYTES))));
    }

    #[test]
    fn only_a_path_without_a_placeholder_is_one_place() {
        assert!(path("/").is_one_place() && path("/notes/new").is_one_place());
        assert!(!path("/notes/{id}").is_one_place());
    }

    fn paths() -> impl Strategy<Value = ScreenPath> {
        let segment = prop::sample::select(vec!["a", "b", "{x}", "{y}"]);
        prop::collection::vec(segment, 0..4).prop_map(|parts| path(&format!("/{}", parts.join("/"))))
    }

    proptest! {
        #[test]
        fn two_paths_meet_exactly_when_some_place_is_at_both(one in paths(), other in paths()) {
            let mut places = vec![String::from("/")];
            for _ in 0..3 {
                let longer = places.iter().flat_map(|place| {
                    ["a", "b", "c"].map(|word| format!("{}/{word}", place.trim_end_matches('/')))
                });
                places = places.iter().cloned().chain(longer).collect();
            }
            let both = places.iter().any(|place| one.covers(place) && other.covers(place));
            prop_assert_eq!(one.meets(&other), both);
        }

        #[test]
        fn arbitrary_text_never_panics_and_reads_back(text: String, place: String) {
            if let Ok(path) = text.parse::<ScreenPath>() {
                prop_assert_eq!(path.to_string(), text);
                let _ = path.covers(&place);
            }
        }
    }
}
