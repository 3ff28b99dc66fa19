//! Tokens: what a stolen disk shows instead of names.
//!
//! A chain, so that rows can be listed by their first components, and each link length-prefixed, so that no two names
//! share a chain. Equal names in equal places have equal tokens: that much is declared to leak.

use holdfast_domain::HomeId;
use holdfast_keys::{
    LocatorKey, TokenKey,
    mac::{self, Keyed},
};

use super::key::{PartitionToken, TOKEN_LEN, Token};
use crate::limits::{MAX_COMPONENT_BYTES, MAX_COMPONENTS};

/// What comes before the id of an organisation: accounts and organisations draw their ids themselves, so one might draw the other's.
const ORGANISATION: &[u8] = b"organisation";

/// The same for logins, whose ids follow from their names: an account may be given the id that some name will have.
const LOGIN: &[u8] = b"login";

/// The token of a partition in keys of its slot.
pub fn partition_token(key: &LocatorKey, home: impl Into<HomeId>) -> PartitionToken {
    PartitionToken(match home.into() {
        HomeId::Account(id) => mac::token(key, &[id.as_bytes()]),
        HomeId::Organisation(id) => mac::token(key, &[ORGANISATION, id.as_bytes()]),
        HomeId::Login(id) => mac::token(key, &[LOGIN, id.as_bytes()]),
    })
}

/// A name that cannot be a record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// More components than allowed.
    #[error("{0} name components exceed the limit of {MAX_COMPONENTS}")]
    TooManyComponents(usize),
    /// A component is too long.
    #[error("a name component of {0} bytes exceeds the limit of {MAX_COMPONENT_BYTES}")]
    ComponentTooLong(usize),
}

/// Makes the name tokens of one index of one tablespace in one partition.
pub struct Tokenizer(Keyed<TokenKey>);

impl Tokenizer {
    /// With the key from [`holdfast_keys::derive::name_key`].
    pub fn new(key: &TokenKey) -> Self {
        Self(Keyed::new(key))
    }

    /// One token for each component, each standing for all components up to its own.
    ///
    /// # Errors
    /// For too many or too long components.
    pub fn tokens<C: AsRef<[u8]>>(&self, components: &[C]) -> Result<Vec<Token>, TokenError> {
        if components.len() > MAX_COMPONENTS {
            return Err(TokenError::TooManyComponents(components.len()));
        }
        let mut previous = [0; TOKEN_LEN];
        let mut tokens = Vec::with_capacity(components.len());
        for (index, component) in (1u8..).zip(components) {
            let component = component.as_ref();
            if component.len() > MAX_COMPONENT_BYTES {
                return Err(TokenError::ComponentTooLong(component.len()));
            }
            let len =
                u32::try_from(component.len()).map_err(|_| TokenError::ComponentTooLong(component.len()))?;
            previous = self.0.token(&[&[index], &previous, &len.to_be_bytes(), component]);
            tokens.push(Token(previous));
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{AccountId, LoginId, OrgId};

    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::new(&TokenKey::from_bytes([5; 32]))
    }

    #[test]
    fn homes_of_several_kinds_with_one_id_are_several() {
        let key = LocatorKey::from_bytes([7; 32]);
        let account = partition_token(&key, AccountId::new([1; 16]));
        assert_eq!(account.0, mac::token(&key, &[&[1; 16]]), "as ever");
        let (organisation, login) =
            (partition_token(&key, OrgId::new([1; 16])), partition_token(&key, LoginId::new([1; 16])));
        assert!(account != organisation && organisation != login && login != account);
    }

    #[test]
    fn names_with_the_same_start_share_the_start_of_the_chain_only() {
        let a = tokenizer().tokens(&["docs", "a", "x"]).unwrap();
        let b = tokenizer().tokens(&["docs", "b", "x"]).unwrap();
        assert_eq!(a[0], b[0]);
        assert_ne!(a[1], b[1]);
        assert_ne!(a[2], b[2]);
    }

    #[test]
    fn where_a_component_ends_is_part_of_its_token() {
        assert_ne!(
            tokenizer().tokens(&["ab", "c"]).unwrap()[1],
            tokenizer().tokens(&["a", "bc"]).unwrap()[1]
        );
        assert_ne!(tokenizer().tokens(&["", "a"]).unwrap()[1], tokenizer().tokens(&["a", ""]).unwrap()[1]);
    }

    #[test]
    fn a_token_is_the_documented_hmac() {
        let token = tokenizer().tokens(&["ab"]).unwrap()[0];
        let message = [&[1u8][..], &[0; 16], &2u32.to_be_bytes(), b"ab"].concat();
        assert_eq!(token.0, mac::token(&TokenKey::from_bytes([5; 32]), &[&message]));
    }

    #[test]
    fn names_above_the_limits_are_refused() {
        assert_eq!(tokenizer().tokens(&["x"; 9]), Err(TokenError::TooManyComponents(9)));
        assert_eq!(tokenizer().tokens(&["x".repeat(513)]), Err(TokenError::ComponentTooLong(513)));
    }
}
