//! Who is a member of what.

use holdfast_accounts_api::{
    Place,
    v1::{self as pb, organisations_client::OrganisationsClient},
};
#[cfg(doc)]
use holdfast_domain::Reason;
use holdfast_domain::{AccountId, Role, UnixMs};
use tonic::transport::Channel;

use super::{Organisation, bytes_of, id_of};
use crate::{Error, home::Paging, limits::PAGE_ROWS};

/// A role of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it holds.
    pub place: Place,
    /// Whose it is.
    pub account: AccountId,
    /// The role.
    pub role: Role,
    /// When the account came in.
    pub since: UnixMs,
}

/// A listing of members under way.
pub struct Members {
    organisation: Organisation,
    scope: String,
    paging: Paging,
}

impl Organisation {
    /// Gives an account these roles, all or none, each in place of the one that it had there.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotPermitted`] when one of them is not this account's to give.
    pub async fn put_member(
        &self,
        account: AccountId,
        roles: &[(Place, Role)],
    ) -> Result<Vec<Member>, Error> {
        let action = format!("make {account} a member");
        let grant =
            |(place, role): &(Place, Role)| pb::Grant { scope: place.to_string(), role: role.number() };
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let grants = roles.iter().map(grant).collect();
            let account = bytes_of(account.as_bytes());
            let request = pb::PutMemberRequest { route: Some(route), account, grants };
            async move { client.put_member(request).await }
        };
        let pb::PutMemberReply { memberships } = self.call(&action, call).await?;
        memberships.into_iter().map(|row| member_of(row, &action)).collect()
    }

    /// The members of a place, or all that this account may see, page by page.
    pub fn members(&self, place: Option<Place>) -> Members {
        let scope = place.map(|place| place.to_string()).unwrap_or_default();
        Members { organisation: self.clone(), scope, paging: Paging::begin() }
    }

    /// Takes an account's role in a place; for the own account: leaves.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotFound`] when it has none there, or none that this account may take.
    pub async fn remove_member(&self, place: Place, account: AccountId) -> Result<(), Error> {
        let action = format!("remove {account}");
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let (scope, account) = (place.to_string(), bytes_of(account.as_bytes()));
            let request = pb::RemoveMemberRequest { route: Some(route), scope, account };
            async move { client.remove_member(request).await }
        };
        self.call(&action, call).await.map(|pb::RemoveMemberReply {}| ())
    }
}

impl Members {
    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Member>>, Error> {
        const ACTION: &str = "list members";
        let Some(cursor) = self.paging.next() else { return Ok(None) };
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let (scope, cursor) = (self.scope.clone(), cursor.clone());
            let request = pb::ListMembersRequest { route: Some(route), scope, cursor, limit: PAGE_ROWS };
            async move { client.list_members(request).await }
        };
        let pb::ListMembersReply { memberships, cursor: next } = self.organisation.call(ACTION, call).await?;
        self.paging.follow(&cursor, next, ACTION)?;
        memberships.into_iter().map(|row| member_of(row, ACTION)).collect::<Result<_, _>>().map(Some)
    }
}

fn member_of(row: pb::Membership, action: &str) -> Result<Member, Error> {
    let pb::Membership { scope, account, role, since_ms } = row;
    let bad = |what| Error::Reply { action: action.to_owned(), what };
    Ok(Member {
        place: scope.parse().map_err(|_| bad("scope"))?,
        account: id_of(&account, action, "account")?,
        role: Role::try_from(role).map_err(|_| bad("role"))?,
        since: UnixMs(since_ms),
    })
}
