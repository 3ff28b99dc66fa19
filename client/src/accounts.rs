//! Accounts: their states, and roles that hold everywhere. Who may change which is the cluster's to say, from what is true at that moment.

use holdfast_certs::Dialed;
use holdfast_domain::{AccountId, Reason, Role};
use holdfast_keys::{OneTime, devices::Claim};
use holdfast_proto::registry::v1::{self as pb, accounts_client::AccountsClient};
use tonic::{Response, Status, transport::Channel};

use crate::{
    Client, Error, client::bytes_of, credential::ClientDescription, error::Answer, limits::PAGE_ROWS,
    registries::Repeat,
};

/// An account, as admins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub account: AccountId,
    /// "active", "disabled" or "deleted".
    pub state: String,
    /// Who disabled it.
    pub by: Option<AccountId>,
    /// The role that it holds everywhere.
    pub role: Option<Role>,
    /// Bytes that it may store in its own home.
    pub quota_bytes: u64,
    /// Number of its keys.
    pub devices: u32,
}

/// The accounts of the cluster, as far as this client's account decides about them.
pub struct Accounts<'a>(&'a Client);

impl Client {
    /// The accounts of the cluster.
    pub const fn accounts(&self) -> Accounts<'_> {
        Accounts(self)
    }
}

impl Accounts<'_> {
    /// Takes all rights from an account, everywhere, at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn disable(&self, account: AccountId) -> Result<(), Error> {
        let call = |mut to: AccountsClient<Channel>, request| async move { to.disable(request).await };
        let ended = self.change("disable an account", call, request(account)).await;
        self.ended(account, ended).await
    }

    /// Gives them back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn enable(&self, account: AccountId) -> Result<(), Error> {
        let request = request(account);
        self.change("enable an account", |mut to, request| async move { to.enable(request).await }, request)
            .await
    }

    /// Ends an account for ever.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, account: AccountId) -> Result<(), Error> {
        let call = |mut to: AccountsClient<Channel>, request| async move { to.delete(request).await };
        let ended = self.change("delete an account", call, request(account)).await;
        self.ended(account, ended).await
    }

    /// Whoever ends his own account may be out before he hears of it.
    async fn ended(&self, account: AccountId, ended: Result<(), Error>) -> Result<(), Error> {
        let refused = matches!(&ended, Err(Error::Refused { reason, .. }) if *reason != Reason::Banned);
        if account == self.0.credential().description().account && !refused {
            self.0.unless_out(ended).await
        } else {
            ended
        }
    }

    /// Gives an account a role that holds everywhere, or takes it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_role(&self, account: AccountId, role: Option<Role>) -> Result<(), Error> {
        let account_id = account.as_bytes().to_vec().into();
        let request = pb::SetGlobalRoleRequest { account_id, role: role.map_or(0, Role::number) };
        let call =
            |mut to: AccountsClient<Channel>, request| async move { to.set_global_role(request).await };
        self.change("set a global role", call, request).await
    }

    /// This account is superadmin no more.
    ///
    /// # Errors
    /// See [`Error`]; `LastOne` for the last superadmin.
    pub async fn step_down(&self) -> Result<(), Error> {
        let call = |mut to: AccountsClient<Channel>, request| async move { to.step_down(request).await };
        self.change("step down as superadmin", call, pb::StepDownRequest {}).await
    }

    /// This account becomes superadmin; the token is used up.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn claim(&self, token: &OneTime) -> Result<(), Error> {
        const ACTION: &str = "become superadmin";
        let Dialed { channel, exporter, .. } = self.0.shared.registries.dial(ACTION).await?;
        let ClientDescription { cluster, account, client, .. } = self.0.credential().description();
        let key = token.key();
        let public = key.public();
        let message = Claim {
            cluster: *cluster,
            exporter: exporter.as_bytes(),
            account: *account,
            client: *client,
            token: public.into(),
        }
        .message();
        let request = pb::ClaimSuperAdminRequest {
            token_public: public.as_bytes().to_vec().into(),
            signature: bytes_of(key.sign_raw(&message)),
        };
        let reply = AccountsClient::new(channel).claim_super_admin(request).await;
        let refused = |status: Status| Answer::of(&status).into_error(ACTION, std::time::Duration::ZERO);
        reply.map(|_| ()).map_err(refused)
    }

    /// All accounts, in the order of their ids.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<Account>, Error> {
        const ACTION: &str = "list the accounts";
        let (mut all, mut after) = (Vec::new(), bytes::Bytes::new());
        loop {
            let call = |channel| {
                let request = pb::ListAccountsRequest { after: after.clone(), limit: PAGE_ROWS };
                async move { AccountsClient::new(channel).list(request).await.map(Response::into_inner) }
            };
            let pb::ListAccountsReply { accounts, more } =
                self.0.shared.registries.call(ACTION, Repeat::Safe, call).await?;
            let last = accounts.last().map(|row| row.account_id.clone());
            let rows = accounts.into_iter().map(|row| read(row, ACTION));
            all.extend(rows.collect::<Result<Vec<_>, _>>()?);
            match last {
                Some(last) if more && last > after => after = last,
                _ => return Ok(all),
            }
        }
    }

    async fn change<R, F, Fut>(&self, action: &str, call: F, request: R) -> Result<(), Error>
    where
        R: Clone,
        F: Fn(AccountsClient<Channel>, R) -> Fut,
        Fut: Future<Output = Result<Response<pb::AccountReply>, Status>>,
    {
        let call = |channel| {
            let reply = call(AccountsClient::new(channel), request.clone());
            async move { reply.await.map(|_| ()) }
        };
        self.0.shared.registries.call(action, Repeat::UnlessSent, call).await
    }
}

fn request(account: AccountId) -> pb::AccountRequest {
    pb::AccountRequest { account_id: account.as_bytes().to_vec().into() }
}

fn read(row: pb::AccountRow, action: &str) -> Result<Account, Error> {
    let pb::AccountRow { account_id, state, role, quota_bytes, devices, by } = row;
    let bad = |what| Error::Reply { action: action.to_owned(), what };
    let id = |bytes: &[u8]| AccountId::try_from(bytes).map_err(|_| bad("account"));
    Ok(Account {
        account: id(&account_id)?,
        state,
        by: if by.is_empty() { None } else { Some(id(&by)?) },
        role: match role {
            0 => None,
            role => Some(Role::try_from(role).map_err(|_| bad("role"))?),
        },
        quota_bytes,
        devices,
    })
}
