//! Names under which people sign in.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{hex_id::hex_id, ids::ClusterId};

hex_id!(
    /// The home of a login name: `SHA-256("login/v1" ‖ cluster ‖ name)[..16]`, see [`LoginId::of`]. Whoever knows the name knows it.
    LoginId, 16
);

/// A login name: 3 to 254 characters, none of them white space or a control, in lower case. An e-mail address may be one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginName(String);

/// A text that is no [`LoginName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a login name has {} to {} characters, none of them white space",
    LoginName::MIN_CHARS,
    LoginName::MAX_CHARS
)]
pub struct LoginNameError;

impl LoginName {
    /// Fewest characters: shorter ones are guessed.
    pub const MIN_CHARS: usize = 3;
    /// Most characters: as many as an e-mail address has (RFC 5321, 4.5.3.1.3).
    pub const MAX_CHARS: usize = 254;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LoginName {
    type Err = LoginNameError;

    /// Letters of either case are one name.
    fn from_str(text: &str) -> Result<Self, LoginNameError> {
        // Some letters become several in lower case: it is the name as kept that is measured.
        if text.len() > 4 * Self::MAX_CHARS {
            return Err(LoginNameError);
        }
        let name = text.trim().to_lowercase();
        let fits = (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&name.chars().count());
        let plain = !name.chars().any(|char| char.is_whitespace() || char.is_control());
        if fits && plain { Ok(Self(name)) } else { Err(LoginNameError) }
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LoginId {
    /// The home of a name in a cluster.
    pub fn of(cluster: ClusterId, name: &LoginName) -> Self {
        let digest = Sha256::new()
            .chain_update(b"login/v1")
            .chain_update(cluster.as_bytes())
            .chain_update(name.as_str())
            .finalize();
        let mut id = [0; Self::LEN];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self::new(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_either_case_has_one_home_in_each_cluster() {
        let (ann, same): (LoginName, LoginName) =
            ("Ann@Example.org".parse().unwrap(), " ann@example.ORG ".parse().unwrap());
        assert_eq!(ann, same);
        let here = ClusterId::new([1; 16]);
        assert_eq!(LoginId::of(here, &ann), LoginId::of(here, &same));
        assert_ne!(LoginId::of(here, &ann), LoginId::of(ClusterId::new([2; 16]), &ann));
        assert_ne!(LoginId::of(here, &ann), LoginId::of(here, &"bob".parse().unwrap()));
    }

    #[test]
    fn short_long_and_broken_names_are_refused() {
        for bad in ["", "ab", " ab ", "a b c", "a\u{0}bc", "a\nb", &"x".repeat(255), &"x".repeat(100_000)] {
            assert!(bad.parse::<LoginName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(254).parse::<LoginName>().is_ok());
    }
}
