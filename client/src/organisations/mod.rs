//! Organisations: what they are called and who owns them, their projects, their members.

mod member;
mod project;

use std::future::Future;

use bytes::Bytes;
use holdfast_accounts_api::v1::{self as pb, organisations_client::OrganisationsClient};
use holdfast_domain::{AccountId, IdError, OrgId, Reason, UnixMs};
use holdfast_keys::random_array;
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

pub use holdfast_accounts_api::{NotAPlace, Place};
pub use member::{Member, Members};
pub use project::Project;

use crate::{Error, Home, limits::MAX_REPLY_BYTES};

/// One organisation, as one client calls it.
#[derive(Clone)]
pub struct Organisation {
    home: Home,
    id: OrgId,
}

/// What an organisation says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganisationInfo {
    /// Its id, which is its home's.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// The account that owns it.
    pub owner: AccountId,
    /// When it was made.
    pub created: UnixMs,
    /// Whether it is on its way to be deleted.
    pub closing: bool,
}

/// An id for a new organisation.
///
/// # Errors
/// No randomness.
pub fn new_id() -> Result<OrgId, Error> {
    Ok(OrgId::new(random_array()?))
}

impl Organisation {
    pub(crate) const fn new(home: Home, id: OrgId) -> Self {
        Self { home, id }
    }

    /// Its id.
    pub const fn id(&self) -> OrgId {
        self.id
    }

    /// Makes it; this account owns it.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::AlreadyExists`] and [`Reason::NotFound`] for an id that is used.
    pub async fn create(&self, name: &str) -> Result<OrganisationInfo, Error> {
        let action = format!("create organisation {name}");
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let request = pb::CreateRequest { route: Some(route), name: name.to_owned() };
            async move { client.create(request).await }
        };
        self.info_of(self.call(&action, call).await?, &action)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotPermitted`] when there is none, or this account is no member.
    pub async fn info(&self) -> Result<OrganisationInfo, Error> {
        let action = format!("show organisation {}", self.id);
        let call = |mut client: OrganisationsClient<Channel>, route| async move {
            client.get(pb::GetRequest { route: Some(route) }).await
        };
        self.info_of(self.call(&action, call).await?, &action)
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rename(&self, name: &str) -> Result<OrganisationInfo, Error> {
        let action = format!("rename organisation {}", self.id);
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let request = pb::RenameRequest { route: Some(route), name: name.to_owned() };
            async move { client.rename(request).await }
        };
        self.info_of(self.call(&action, call).await?, &action)
    }

    /// Gives it to one of its members.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotFound`] when the account is no member, or this one not the owner.
    pub async fn transfer(&self, to: AccountId) -> Result<OrganisationInfo, Error> {
        let action = format!("transfer organisation {} to {to}", self.id);
        let call = |mut client: OrganisationsClient<Channel>, route| {
            let request = pb::TransferOwnerRequest { route: Some(route), account: bytes_of(to.as_bytes()) };
            async move { client.transfer_owner(request).await }
        };
        self.info_of(self.call(&action, call).await?, &action)
    }

    /// Ends it for ever. It must be empty.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotEmpty`] while it has projects or members.
    pub async fn delete(&self) -> Result<(), Error> {
        let action = format!("delete organisation {}", self.id);
        loop {
            let call = |mut client: OrganisationsClient<Channel>, route| async move {
                client.delete(pb::DeleteRequest { route: Some(route) }).await
            };
            let pb::DeleteReply { done } = self.call(&action, call).await?;
            if done {
                return Ok(());
            }
        }
    }

    /// One unary call under one command id.
    async fn call<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(OrganisationsClient<Channel>, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let client = |channel| OrganisationsClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES);
        self.home.call(action, |channel, route| call(client(channel), route)).await
    }

    fn info_of(&self, row: pb::Organisation, action: &str) -> Result<OrganisationInfo, Error> {
        let closing = row.life() != pb::Life::Open;
        let pb::Organisation { id, name, owner, created_ms, life: _ } = row;
        let info = OrganisationInfo {
            id: id_of(&id, action, "organisation")?,
            name,
            owner: id_of(&owner, action, "owner")?,
            created: UnixMs(created_ms),
            closing,
        };
        let other = || Error::Reply { action: action.to_owned(), what: "organisation of that id" };
        (info.id == self.id).then_some(info).ok_or_else(other)
    }
}

/// Whether something is not there, or not any more.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Refused { reason: Reason::NotFound, .. })
}

fn bytes_of(id: &[u8]) -> Bytes {
    Bytes::copy_from_slice(id)
}

fn id_of<T>(bytes: &Bytes, action: &str, what: &'static str) -> Result<T, Error>
where
    T: for<'a> TryFrom<&'a [u8], Error = IdError>,
{
    T::try_from(bytes).map_err(|_| Error::Reply { action: action.to_owned(), what })
}
