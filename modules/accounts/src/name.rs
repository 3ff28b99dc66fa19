//! Names of organisations and projects.

use holdfast_domain::Reason;
use holdfast_sys_core::Refusal;

use crate::limits::MAX_NAME_CHARS;

/// A name that people can read and tell from another: 1 to 100 characters, none of them for control, no spaces around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// # Errors
    /// `Malformed` for other texts.
    pub(crate) fn parse(text: String) -> Result<Self, Refusal> {
        let length = text.chars().take(MAX_NAME_CHARS + 1).count();
        let fits = (1..=MAX_NAME_CHARS).contains(&length);
        if fits && text.trim() == text && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(Refusal::new(Reason::Malformed)
                .because("a name has 1 to 100 characters and no spaces around"))
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_visible_and_have_no_spaces_around() {
        for good in ["a", "Über uns", "研究 1", &"ä".repeat(MAX_NAME_CHARS)] {
            assert_eq!(Name::parse(good.to_owned()).unwrap().into_text(), good);
        }
        for bad in ["", " ", " a", "a ", "a\nb", "a\0", "\u{2003}a", &"a".repeat(MAX_NAME_CHARS + 1)] {
            assert_eq!(Name::parse(bad.to_owned()).unwrap_err().reason(), Reason::Malformed, "{bad:?}");
        }
    }
}
