//! Names that end up in policies and tables: short, plain, and written in one way only.

use super::DeclareError;

/// Longest word.
const MAX_WORD: usize = 64;

/// Types that every module's policies have already.
const RESERVED: [&str; 3] = ["Account", "Role", "Action"];

/// Checks a lower-case word.
pub(super) fn lower(of: &str, what: &'static str, word: &str) -> Result<(), DeclareError> {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let form = "a lower-case word: a letter, then up to 63 letters, digits or underscores";
    check(of, what, word, form, word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(rest))
}

/// Checks a type's name.
pub(super) fn camel(of: &str, what: &'static str, word: &str) -> Result<(), DeclareError> {
    if RESERVED.contains(&word) {
        return check(of, what, word, "free: every policy has Account, Role and Action already", false);
    }
    let form = "a CamelCase word: a capital, then up to 63 letters or digits";
    let starts = word.starts_with(|c: char| c.is_ascii_uppercase());
    check(of, what, word, form, starts && word.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn check(
    of: &str,
    what: &'static str,
    word: &str,
    form: &'static str,
    fits: bool,
) -> Result<(), DeclareError> {
    if fits && word.len() <= MAX_WORD {
        return Ok(());
    }
    Err(DeclareError::Word { of: of.to_owned(), what, word: word.to_owned(), form })
}
