//! Logins: a name and a password that admit a key to an account for some hours, from a machine that has none; and mail for those who forget.

mod stranger;

use std::future::Future;

use bytes::Bytes;
use holdfast_accounts_api::v1::{self as pb, logins_client::LoginsClient};
#[cfg(doc)]
use holdfast_domain::Reason;
use holdfast_domain::{LoginId, LoginName, UnixMs};
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};
use zeroize::Zeroizing;

pub use stranger::{SigningIn, Stranger};

use crate::{Client, Error, Home};

/// A password. It has no `Debug`.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// These bytes; servers take 8 to 1024.
    pub const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    fn to_wire(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

/// A login of this client's account, whether it is there or not.
#[derive(Clone)]
pub struct Login {
    home: Home,
}

/// What a login says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginInfo {
    /// Its home.
    pub id: LoginId,
    /// Tries since the last one that succeeded.
    pub failures: u32,
    /// The address that was verified, and when.
    pub email: Option<(String, UnixMs)>,
    /// When it was made.
    pub created: UnixMs,
}

impl Client {
    /// The login of a name.
    pub fn login(&self, name: &LoginName) -> Login {
        let id = LoginId::of(self.credential().description().cluster, name);
        Login { home: self.home(Some(id.into())) }
    }
}

impl Login {
    /// Takes the name for this client's account. The account has to name it, too, with
    /// [`Devices::set_login`](crate::devices::Devices::set_login).
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::AlreadyExists`] for a name that is taken.
    pub async fn create(&self, password: &Password) -> Result<LoginInfo, Error> {
        const ACTION: &str = "create the login";
        let call = |mut client: LoginsClient<Channel>, route| {
            let request = pb::CreateLoginRequest { route: Some(route), password: password.to_wire() };
            async move { client.create(request).await }
        };
        info(self.call(ACTION, call).await?, ACTION)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotFound`] when it is not this account's.
    pub async fn show(&self) -> Result<LoginInfo, Error> {
        const ACTION: &str = "show the login";
        let call = |mut client: LoginsClient<Channel>, route| async move {
            client.get(pb::GetLoginRequest { route: Some(route) }).await
        };
        info(self.call(ACTION, call).await?, ACTION)
    }

    /// Replaces the password.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn set_password(&self, password: &Password) -> Result<LoginInfo, Error> {
        const ACTION: &str = "set the password";
        let call = |mut client: LoginsClient<Channel>, route| {
            let request = pb::SetPasswordRequest { route: Some(route), password: password.to_wire() };
            async move { client.set_password(request).await }
        };
        info(self.call(ACTION, call).await?, ACTION)
    }

    /// Gives the name back.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn remove(&self) -> Result<(), Error> {
        let call = |mut client: LoginsClient<Channel>, route| async move {
            client.remove(pb::RemoveLoginRequest { route: Some(route) }).await
        };
        self.call("remove the login", call).await.map(|pb::RemoveLoginReply {}| ())
    }

    /// Has a code mailed to an address.
    ///
    /// # Errors
    /// As [`Self::show`]; [`Reason::NotConfigured`] when the cluster sends no mail.
    pub async fn request_verification(&self, email: &str) -> Result<(), Error> {
        let call = |mut client: LoginsClient<Channel>, route| {
            let request = pb::RequestVerificationRequest { route: Some(route), email: email.to_owned() };
            async move { client.request_verification(request).await }
        };
        self.call("ask for a code", call).await.map(|pb::RequestVerificationReply {}| ())
    }

    /// Shows the code from the mail.
    ///
    /// # Errors
    /// As [`Self::show`]; [`Reason::CodeUnknown`].
    pub async fn verify(&self, code: &str) -> Result<LoginInfo, Error> {
        const ACTION: &str = "verify the address";
        let call = |mut client: LoginsClient<Channel>, route| {
            let request = pb::VerifyRequest { route: Some(route), token: code.to_owned() };
            async move { client.verify(request).await }
        };
        info(self.call(ACTION, call).await?, ACTION)
    }

    /// Its home.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    async fn call<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(LoginsClient<Channel>, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.home.call(action, |channel, route| call(LoginsClient::new(channel), route)).await
    }
}

fn info(row: pb::Login, action: &str) -> Result<LoginInfo, Error> {
    let pb::Login { id, failures, email, verified_ms, created_ms, .. } = row;
    let id = id.as_ref().try_into();
    Ok(LoginInfo {
        id: id.map_err(|_| Error::Reply { action: action.to_owned(), what: "login" })?,
        failures,
        email: (!email.is_empty()).then_some((email, UnixMs(verified_ms))),
        created: UnixMs(created_ms),
    })
}
