//! Names of files are bytes. This is where they meet the command line and the local file system.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// Longest name, in bytes.
const MAX_NAME: usize = 4096;

/// A name: 1 to 4,096 bytes, any but NUL; `/` separates components.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Vec<u8>);

/// Why bytes are no name, or a name no local path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all.
    #[error("a name has at least one byte")]
    Empty,
    /// Over 4,096 bytes.
    #[error("a name has at most {MAX_NAME} bytes, not {0}")]
    TooLong(usize),
    /// NUL within.
    #[error("a name has no NUL byte")]
    Nul,
    /// It begins with `/`.
    #[error("it is absolute: it would be written outside of the folder")]
    Absolute,
    /// It has an empty component.
    #[error("it has an empty component, which no local path has")]
    EmptyComponent,
    /// It has a component `.` or `..`.
    #[error("it has a component `.` or `..`: it could be written outside of the folder")]
    Dots,
    /// It is not under the prefix that was asked for.
    #[error("it is not under the prefix that was asked for")]
    NotUnderPrefix,
}

impl FileName {
    /// Takes bytes.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::TooLong`], [`NameError::Nul`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, NameError> {
        match bytes.len() {
            0 => Err(NameError::Empty),
            len if len > MAX_NAME => Err(NameError::TooLong(len)),
            _ if bytes.contains(&0) => Err(NameError::Nul),
            _ => Ok(Self(bytes)),
        }
    }

    /// Takes a text of the operating system, byte for byte.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_os(text: OsString) -> Result<Self, NameError> {
        Self::new(text.into_vec())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What is after the last `/`, as the local name that a download gets; `None` when that is no plain name.
    pub fn local_name(&self) -> Option<&OsStr> {
        let last = self.0.rsplit(|byte| *byte == b'/').next()?;
        let plain = !last.is_empty() && last != b"." && last != b"..";
        plain.then(|| OsStr::from_bytes(last))
    }

    /// The name of a local path below a prefix: `prefix/path`. The path is relative to the folder that is put.
    ///
    /// # Errors
    /// As [`Self::new`], and [`NameError::Dots`] for a path that leads out of its folder.
    pub fn under(prefix: &[u8], path: &Path) -> Result<Self, NameError> {
        let mut bytes = trim_slashes(prefix).to_vec();
        for component in path.components() {
            let std::path::Component::Normal(part) = component else { return Err(NameError::Dots) };
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(part.as_bytes());
        }
        Self::new(bytes)
    }

    /// The local path of this name below a prefix, relative and without a way out: every component is a plain name.
    ///
    /// # Errors
    /// When the name is not under the prefix or has a component that a plain relative path cannot have.
    pub fn path_below(&self, prefix: &[u8]) -> Result<PathBuf, NameError> {
        let prefix = trim_slashes(prefix);
        let rest = if prefix.is_empty() {
            self.0.as_slice()
        } else {
            let under = self.0.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(b"/"));
            under.ok_or(NameError::NotUnderPrefix)?
        };
        if rest.starts_with(b"/") {
            return Err(NameError::Absolute);
        }
        let mut path = PathBuf::new();
        for component in rest.split(|byte| *byte == b'/') {
            match component {
                b"" => return Err(NameError::EmptyComponent),
                b"." | b".." => return Err(NameError::Dots),
                plain => path.push(OsStr::from_bytes(plain)),
            }
        }
        Ok(path)
    }
}

/// A prefix without `/` at its ends.
pub(crate) fn trim_slashes(prefix: &[u8]) -> &[u8] {
    let mut trimmed = prefix;
    while let Some(rest) = trimmed.strip_suffix(b"/") {
        trimmed = rest;
    }
    while let Some(rest) = trimmed.strip_prefix(b"/") {
        trimmed = rest;
    }
    trimmed
}

/// On one line and harmless to a terminal: what is not printable text is escaped.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' || is_bidi(c) {
                    write!(f, "{}", c.escape_default())?
                } else {
                    write!(f, "{c}")?
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Characters that reorder the text around them.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(bytes: &[u8]) -> FileName {
        FileName::new(bytes.to_vec()).unwrap()
    }

    #[test]
    fn names_that_lead_out_of_the_folder_have_no_local_path() {
        for (bytes, error) in [
            (b"../etc/passwd".as_slice(), NameError::Dots),
            (b"a/../../b", NameError::Dots),
            (b"a/./b", NameError::Dots),
            (b"..", NameError::Dots),
            (b"/etc/passwd", NameError::Absolute),
            (b"a//b", NameError::EmptyComponent),
            (b"a/", NameError::EmptyComponent),
        ] {
            assert_eq!(name(bytes).path_below(b""), Err(error), "{:?}", name(bytes));
        }
        assert_eq!(name(b"p/../x").path_below(b"p"), Err(NameError::Dots));
        assert_eq!(name(b"p//x").path_below(b"p"), Err(NameError::Absolute));
        assert_eq!(name(b"pp/x").path_below(b"p"), Err(NameError::NotUnderPrefix));
        assert_eq!(name(b"p/x").path_below(b"/p/"), Ok(PathBuf::from("x")));
    }

    #[test]
    fn what_would_harm_a_terminal_is_escaped() {
        assert_eq!(name(b"a\x1b[2Jb\n\xff").to_string(), "a\\u{1b}[2Jb\\n\\xff");
        assert_eq!(name("größe 文".as_bytes()).to_string(), "größe 文");
    }

    #[test]
    fn names_without_bytes_with_nul_or_too_long_are_refused() {
        assert_eq!(FileName::new(vec![]), Err(NameError::Empty));
        assert_eq!(FileName::new(vec![b'a', 0]), Err(NameError::Nul));
        assert_eq!(FileName::new(vec![b'a'; MAX_NAME + 1]), Err(NameError::TooLong(MAX_NAME + 1)));
    }

    #[test]
    fn the_local_name_is_the_last_component() {
        assert_eq!(name(b"a/b.txt").local_name(), Some(OsStr::new("b.txt")));
        for none in [b"a/..".as_slice(), b"a/", b"."] {
            assert_eq!(name(none).local_name(), None);
        }
    }

    proptest! {
        #[test]
        fn invariant_a_local_path_stays_in_its_folder(
            bytes in prop::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), 1u8..], 1..64),
            prefix in prop::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'a')], 0..6),
        ) {
            if let Ok(path) = name(&bytes).path_below(&prefix) {
                prop_assert!(path.is_relative());
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert!(!path.as_os_str().is_empty());
            }
        }

        #[test]
        fn any_bytes_survive_the_way_to_a_name_and_back(
            parts in prop::collection::vec(prop::collection::vec(1u8.., 1..12), 1..5),
            prefix in "[a-z]{0,3}(/[a-z]{1,3})?",
        ) {
            let plain = |part: &Vec<u8>| !part.contains(&b'/') && part != b"." && part != b"..";
            prop_assume!(parts.iter().all(plain));
            let path: PathBuf = parts.iter().map(|part| OsStr::from_bytes(part)).collect();
            let name = FileName::under(prefix.as_bytes(), &path).unwrap();
            prop_assert_eq!(name.path_below(prefix.as_bytes()), Ok(path));
        }

        #[test]
        fn names_show_on_one_line(bytes in prop::collection::vec(1u8.., 1..40)) {
            prop_assert!(!name(&bytes).to_string().chars().any(char::is_control));
        }
    }
}
