//! A module's name.

use std::{fmt, str::FromStr};

/// Longest name: it is part of many others.
const MAX_NAME: usize = 24;

/// What policies, which use the name as their namespace, understand as something else; and the template's own entity.
const TAKEN: [&str; 12] =
    ["action", "context", "else", "false", "has", "if", "in", "is", "item", "like", "then", "true"];

/// A lower-case word: the module's name in its `.proto`, its policies, its crates and its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModuleName(String);

/// Why a text is no module's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("a module's name is a lower-case word: a letter, then up to {} letters and digits", MAX_NAME - 1)]
    Form,
    #[error("the word means something else in policies or in the template")]
    Taken,
}

impl ModuleName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As its service is called.
    pub(super) fn camel(&self) -> String {
        let mut letters = self.0.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    }

    /// As its constants are called.
    pub(super) fn upper(&self) -> String {
        self.0.to_ascii_uppercase()
    }

    pub(super) fn folder(&self) -> String {
        format!("modules/{self}")
    }
}

impl FromStr for ModuleName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || text.len() > MAX_NAME || !text.chars().all(word) {
            return Err(NameError::Form);
        }
        if TAKEN.contains(&text) { Err(NameError::Taken) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
