//! Whose home a route names.

use bytes::Bytes;
use holdfast_domain::{HomeId, IdError};

use crate::module::v1::{self as pb, home_id::Owner};

/// Why a message names no home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Neither an account nor an organisation nor a login.
    #[error("a home is an account's, an organisation's or a login's")]
    Nobody,
    /// An id of another length.
    #[error("a home's owner cannot be read")]
    Id(#[from] IdError),
}

impl TryFrom<&pb::HomeId> for HomeId {
    type Error = HomeError;

    fn try_from(home: &pb::HomeId) -> Result<Self, HomeError> {
        let pb::HomeId { owner } = home;
        match owner.as_ref().ok_or(HomeError::Nobody)? {
            Owner::Account(id) => Ok(Self::Account(id.as_ref().try_into()?)),
            Owner::Organisation(id) => Ok(Self::Organisation(id.as_ref().try_into()?)),
            Owner::Login(id) => Ok(Self::Login(id.as_ref().try_into()?)),
        }
    }
}

impl From<HomeId> for pb::HomeId {
    fn from(home: HomeId) -> Self {
        let id = Bytes::copy_from_slice(home.as_bytes());
        let owner = match home {
            HomeId::Account(_) => Owner::Account(id),
            HomeId::Organisation(_) => Owner::Organisation(id),
            HomeId::Login(_) => Owner::Login(id),
        };
        Self { owner: Some(owner) }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{AccountId, LoginId, OrgId};

    use super::*;

    #[test]
    fn homes_survive_the_wire_and_keep_their_kind() {
        let homes: [HomeId; 3] =
            [AccountId::new([1; 16]).into(), OrgId::new([1; 16]).into(), LoginId::new([1; 16]).into()];
        for home in homes {
            assert_eq!(HomeId::try_from(&pb::HomeId::from(home)), Ok(home));
        }
    }

    #[test]
    fn a_home_of_nobody_or_with_a_short_id_is_none() {
        assert_eq!(HomeId::try_from(&pb::HomeId { owner: None }), Err(HomeError::Nobody));
        let short = pb::HomeId { owner: Some(Owner::Account(Bytes::from_static(&[1; 15]))) };
        assert!(matches!(HomeId::try_from(&short), Err(HomeError::Id(_))));
    }
}
