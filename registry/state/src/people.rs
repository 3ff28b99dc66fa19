//! Rows of accounts beyond their quota, and of clients beyond their key. An account without a row here is active and has nothing else.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{
    AccountId, BanSubject, ClientId, LoginId, Reason, Role, SetupPublic, SpiffeSubject, UnixMs,
};
use serde::{Deserialize, Serialize};

use crate::{limits, member::Client, state::State};

/// Whether an account may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AccountState {
    /// It may.
    #[default]
    Active,
    /// Not until it is enabled.
    Disabled {
        /// Who did it.
        by: AccountId,
    },
    /// Never again. The row stays, so that the id does not come back.
    Deleted,
}

impl AccountState {
    /// The word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled { .. } => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// What an account has beside its quota.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) state: AccountState,
    /// Public half of its recovery key.
    pub(crate) recovery: Option<[u8; 32]>,
    /// The login that may admit keys to it.
    pub(crate) login: Option<LoginId>,
}

/// A key that is gone and whose last leaf may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) account: AccountId,
    /// When its last leaf has ended.
    pub(crate) until: UnixMs,
}

/// Everything that the second version of the snapshot added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct People {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    /// Roles that hold everywhere.
    pub(crate) roles: BTreeMap<AccountId, Role>,
    /// Accounts that were disabled or deleted, until their last leaf has ended. Afterwards it is enough that they get none.
    pub(crate) barred: BTreeMap<AccountId, UnixMs>,
    /// Ends of keys that do not stay.
    pub(crate) expiries: BTreeMap<ClientId, UnixMs>,
    pub(crate) revoked: BTreeMap<ClientId, Revoked>,
    /// Set-up tokens, and when they are void.
    pub(crate) tokens: BTreeMap<SetupPublic, UnixMs>,
}

/// An account, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its id.
    pub account: AccountId,
    /// Its state.
    pub state: AccountState,
    /// Its role everywhere.
    pub role: Option<Role>,
    /// Bytes that it may store in its own home.
    pub quota_bytes: u64,
    /// Its keys.
    pub devices: usize,
    /// Whether it has a recovery key.
    pub recovery: bool,
    /// Its login.
    pub login: Option<LoginId>,
}

/// A client that acts, with its account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acting {
    pub(crate) client: ClientId,
    pub(crate) account: AccountId,
    /// When the key ends, if it does not stay.
    pub(crate) expires: Option<UnixMs>,
    pub(crate) role: Option<Role>,
}

impl Acting {
    /// Only keys that stay decide over keys and accounts: else a password that was guessed once would be worth as much as a key.
    pub(crate) fn must_stay(&self) -> Result<(), Reason> {
        if self.expires.is_none() { Ok(()) } else { Err(Reason::NotPermitted) }
    }
}

impl State {
    /// The client that a command was proposed for, as long as it and its account are there.
    pub(crate) fn acting(&self, by: &SpiffeSubject) -> Result<Acting, Reason> {
        let SpiffeSubject::Client(client) = by else { return Err(Reason::NotPermitted) };
        let account = self.clients.get(client).ok_or(Reason::NotPermitted)?.account;
        let expires = self.expires(*client);
        if expires.is_some_and(|expires| expires <= self.clock) {
            return Err(Reason::IdentityExpired);
        }
        if self.account_state(account) != AccountState::Active {
            return Err(Reason::Banned);
        }
        Ok(Acting { client: *client, account, expires, role: self.people.roles.get(&account).copied() })
    }

    /// State of an account; one that is not there is deleted.
    pub fn account_state(&self, account: AccountId) -> AccountState {
        if !self.accounts.contains_key(&account) {
            return AccountState::Deleted;
        }
        self.people.accounts.get(&account).map(|row| row.state).unwrap_or_default()
    }

    /// When a key ends; `None` for one that stays.
    pub fn expires(&self, client: ClientId) -> Option<UnixMs> {
        self.people.expiries.get(&client).copied()
    }

    /// Keys of an account, with their ends.
    pub fn devices(&self, account: AccountId) -> impl Iterator<Item = (ClientId, &Client, Option<UnixMs>)> {
        let ids = self.devices.get(&account).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.clients.get(id)?, self.expires(*id))))
    }

    /// Roles that hold everywhere, of accounts that are active.
    pub fn global_roles(&self) -> impl Iterator<Item = (AccountId, Role)> {
        let roles = self.people.roles.iter().map(|(account, role)| (*account, *role));
        roles.filter(|(account, _)| self.account_state(*account) == AccountState::Active)
    }

    /// Whom nobody may let in: the operators' bans, keys that were revoked and accounts that ended, both until their last leaf has.
    pub fn barred(&self) -> BTreeSet<BanSubject> {
        let now = self.clock;
        let revoked = self.people.revoked.iter().filter(move |(_, row)| row.until > now);
        let accounts = self.people.barred.iter().filter(move |(_, until)| **until > now);
        let own = self.bans.iter().cloned();
        own.chain(revoked.map(|(client, _)| BanSubject::Client(*client)))
            .chain(accounts.map(|(account, _)| BanSubject::Account(*account)))
            .collect()
    }

    /// Public half of an account's recovery key.
    pub fn recovery_key(&self, account: AccountId) -> Option<[u8; 32]> {
        self.people.accounts.get(&account)?.recovery
    }

    /// Whether a set-up token is unused.
    pub fn has_setup_token(&self, token: SetupPublic) -> bool {
        self.people.tokens.get(&token).is_some_and(|expires| *expires > self.clock)
    }

    /// One account.
    pub fn account(&self, account: AccountId) -> Option<AccountView> {
        let quota_bytes = *self.accounts.get(&account)?;
        let row = self.people.accounts.get(&account);
        Some(AccountView {
            account,
            state: self.account_state(account),
            role: self.people.roles.get(&account).copied(),
            quota_bytes,
            devices: self.devices.get(&account).map_or(0, BTreeSet::len),
            recovery: row.is_some_and(|row| row.recovery.is_some()),
            login: row.and_then(|row| row.login),
        })
    }

    /// A page of accounts in the order of their ids, for a client whose account may see them.
    ///
    /// # Errors
    /// `NotPermitted` unless the caller's account is a global admin.
    pub fn accounts_after(
        &self,
        by: &SpiffeSubject,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<AccountView>, Reason> {
        if self.is_banned(by) {
            return Err(Reason::Banned);
        }
        let acting = self.acting(by)?;
        acting.must_stay()?;
        if acting.role < Some(Role::Admin) {
            return Err(Reason::NotPermitted);
        }
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let ids = self.accounts.range((from, std::ops::Bound::Unbounded)).take(limit);
        Ok(ids.filter_map(|(account, _)| self.account(*account)).collect())
    }

    pub(crate) fn put_client(&mut self, client: ClientId, row: Client, expires: Option<UnixMs>) {
        self.devices.entry(row.account).or_default().insert(client);
        self.clients.insert(client, row);
        if let Some(expires) = expires {
            self.people.expiries.insert(client, expires);
        }
    }

    /// Takes a key's row away, and bars what is left of it.
    pub(crate) fn revoke(&mut self, client: ClientId) {
        let now = self.clock;
        let Some(row) = self.clients.remove(&client) else { return };
        if let Some(ids) = self.devices.get_mut(&row.account) {
            ids.remove(&client);
            if ids.is_empty() {
                self.devices.remove(&row.account);
            }
        }
        let last = now.plus_ms(limits::LAST_LEAF_MS);
        let until = self.people.expiries.remove(&client).map_or(last, |expires| expires.min(last));
        self.people.revoked.retain(|_, row| row.until > now);
        if until > now {
            self.people.revoked.insert(client, Revoked { account: row.account, until });
        }
    }

    /// Forgets keys of an account that have ended by themselves; their leaves have ended with them.
    pub(crate) fn drop_expired(&mut self, account: AccountId) {
        let now = self.clock;
        let ended =
            |(id, _, expires): (ClientId, _, Option<UnixMs>)| expires.filter(|at| *at <= now).map(|_| id);
        let ended: Vec<_> = self.devices(account).filter_map(ended).collect();
        ended.into_iter().for_each(|client| self.revoke(client));
    }

    /// Changes what an account has; a row that says nothing is none.
    pub(crate) fn edit_account(&mut self, account: AccountId, edit: impl FnOnce(&mut Account)) {
        let row = self.people.accounts.entry(account).or_default();
        edit(row);
        if *row == Account::default() {
            self.people.accounts.remove(&account);
        }
    }

    /// Which keys each account has: worked out again after a restore.
    pub(crate) fn index_devices(&mut self) {
        self.devices.clear();
        for (client, row) in &self.clients {
            self.devices.entry(row.account).or_default().insert(*client);
        }
    }
}
