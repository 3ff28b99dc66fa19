//! States of accounts and roles that hold everywhere. The state decides who may change them; here only the set-up token's signature is
//! checked, which is made on the connection that carries it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use holdfast_certs::Peer;
use holdfast_domain::{AccountId, ClientId, Home, Reason, Role, SetupPublic, SpiffeSubject};
use holdfast_keys::{ClientPublic, devices::Claim};
use holdfast_proto::registry::v1::{
    AccountReply, AccountRequest, AccountRow, ClaimSuperAdminRequest, ListAccountsReply, ListAccountsRequest,
    SetGlobalRoleRequest, StepDownRequest, accounts_server::Accounts,
};
use holdfast_registry_state::{AccountChange, AccountState, AccountView, Act};
use holdfast_sys_core::{Caller, Refusal, attempts::Attempts};
use tonic::{Request, Response, Status};

use super::{limits, peer, signed, wire};
use crate::core::Core;

/// The service.
pub struct AccountsService {
    core: Arc<Core>,
    changes: Attempts<ClientId>,
}

impl AccountsService {
    /// Serves from a voter's state.
    pub const fn new(core: Arc<Core>) -> Self {
        Self { core, changes: Attempts::new(limits::CHANGES_PER_CLIENT) }
    }

    async fn change(&self, by: ClientId, change: AccountChange) -> Result<Response<AccountReply>, Status> {
        let counted = self.changes.take(by, Instant::now());
        counted.map_err(|_| Refusal::new(Reason::RateLimited).because(by))?;
        self.core.propose(SpiffeSubject::Client(by), Act::Account(change)).await?;
        Ok(Response::new(AccountReply {}))
    }

    async fn claim(
        &self,
        peer: &Peer,
        (client, home): (ClientId, Home),
        request: &ClaimSuperAdminRequest,
    ) -> Result<SetupPublic, Refusal> {
        let ClaimSuperAdminRequest { token_public, signature } = request;
        let token: SetupPublic = wire::id(token_public, "set-up token")?;
        let key = ClientPublic::try_from(token)
            .map_err(|error| Refusal::new(Reason::TokenUnknown).because(error))?;
        let (cluster, exporter) = (self.core.cluster().id(), peer.exporter.as_bytes());
        let message = Claim { cluster, exporter, account: home.account, client, token }.message();
        signed::check(&key, &message, signature, Reason::TokenUnknown)?;
        // Keeps made-up tokens out of the log; the state decides.
        if !self.core.state().has_setup_token(token) {
            self.core.read_index().await?;
        }
        if self.core.state().has_setup_token(token) {
            Ok(token)
        } else {
            Err(Refusal::new(Reason::TokenUnknown))
        }
    }

    async fn list(&self, by: ClientId, request: ListAccountsRequest) -> Result<ListAccountsReply, Refusal> {
        let ListAccountsRequest { after, limit } = request;
        let after = if after.is_empty() { None } else { Some(wire::id::<AccountId>(&after, "account id")?) };
        let limit = usize::try_from(limit).unwrap_or(limits::MAX_ACCOUNTS_A_PAGE);
        let limit =
            if limit == 0 { limits::MAX_ACCOUNTS_A_PAGE } else { limit.min(limits::MAX_ACCOUNTS_A_PAGE) };
        self.core.read_index().await?;
        let by = SpiffeSubject::Client(by);
        let found = self.core.state().accounts_after(&by, after, limit.saturating_add(1));
        let found = found.map_err(Refusal::new)?;
        let more = found.len() > limit;
        Ok(ListAccountsReply { accounts: found.into_iter().take(limit).map(row).collect(), more })
    }
}

fn row(view: AccountView) -> AccountRow {
    let AccountView { account, state, role, quota_bytes, devices, recovery: _, login: _ } = view;
    let id = |account: AccountId| Bytes::copy_from_slice(account.as_bytes());
    AccountRow {
        account_id: id(account),
        state: state.as_str().to_owned(),
        role: role.map_or(0, Role::number),
        quota_bytes,
        devices: u32::try_from(devices).unwrap_or(u32::MAX),
        by: match state {
            AccountState::Disabled { by } => id(by),
            AccountState::Active | AccountState::Deleted => Bytes::new(),
        },
    }
}

/// The calling client, and the account that the request is about.
fn about(request: &Request<AccountRequest>) -> Result<(ClientId, AccountId), Status> {
    let (client, _) = Caller::of(request)?.client()?;
    Ok((client, wire::id(&request.get_ref().account_id, "account id")?))
}

#[tonic::async_trait]
impl Accounts for AccountsService {
    async fn disable(&self, request: Request<AccountRequest>) -> Result<Response<AccountReply>, Status> {
        let (by, account) = about(&request)?;
        self.change(by, AccountChange::Disable(account)).await
    }

    async fn enable(&self, request: Request<AccountRequest>) -> Result<Response<AccountReply>, Status> {
        let (by, account) = about(&request)?;
        self.change(by, AccountChange::Enable(account)).await
    }

    async fn delete(&self, request: Request<AccountRequest>) -> Result<Response<AccountReply>, Status> {
        let (by, account) = about(&request)?;
        self.change(by, AccountChange::Delete(account)).await
    }

    async fn set_global_role(
        &self,
        request: Request<SetGlobalRoleRequest>,
    ) -> Result<Response<AccountReply>, Status> {
        let (by, _) = Caller::of(&request)?.client()?;
        let SetGlobalRoleRequest { account_id, role } = request.into_inner();
        let account = wire::id(&account_id, "account id")?;
        let role = match role {
            0 => None,
            role => Some(Role::try_from(role).map_err(wire::malformed)?),
        };
        self.change(by, AccountChange::SetRole { account, role }).await
    }

    async fn list(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsReply>, Status> {
        let (by, _) = Caller::of(&request)?.client()?;
        Ok(Self::list(self, by, request.into_inner()).await.map(Response::new)?)
    }

    async fn claim_super_admin(
        &self,
        request: Request<ClaimSuperAdminRequest>,
    ) -> Result<Response<AccountReply>, Status> {
        let (by, home) = Caller::of(&request)?.client()?;
        let token = self.claim(peer(&request)?, (by, *home), request.get_ref()).await?;
        self.change(by, AccountChange::Claim(token)).await
    }

    async fn step_down(&self, request: Request<StepDownRequest>) -> Result<Response<AccountReply>, Status> {
        let (by, _) = Caller::of(&request)?.client()?;
        self.change(by, AccountChange::StepDown).await
    }
}
