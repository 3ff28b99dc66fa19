//! States of accounts and roles that hold everywhere: who may change them is decided here, from the rows at the moment of the commit, so
//! that no two voters and no two racing requests see it differently.
//!
//! Invariants: nobody gives himself a role, nobody is given the highest, and of active superadmins the last one stays.

use holdfast_domain::{AccountId, Reason, Role, SetupPublic, SpiffeSubject};

use crate::{
    changes::AccountChange,
    limits,
    outcome::Applied,
    people::{Account, AccountState, Acting},
    state::State,
};

impl State {
    pub(crate) fn change_account(
        &mut self,
        by: &SpiffeSubject,
        change: AccountChange,
    ) -> Result<Applied, Reason> {
        let acting = self.acting(by)?;
        acting.must_stay()?;
        match change {
            AccountChange::Disable(account) => self.disable(acting, account),
            AccountChange::Enable(account) => self.enable(acting, account),
            AccountChange::Delete(account) => self.delete(acting, account),
            AccountChange::SetRole { account, role } => self.set_role(acting, account, role),
            AccountChange::Claim(token) => self.claim(acting, token),
            AccountChange::StepDown => self.step_down(acting),
        }
    }

    /// His own account, or one that he stands above.
    fn may_end(&self, acting: Acting, account: AccountId) -> Result<(), Reason> {
        if account == acting.account {
            // He would leave his own rights unattended; he steps down first, and the last one cannot.
            return if acting.role == Some(Role::SuperAdmin) { Err(Reason::NotPermitted) } else { Ok(()) };
        }
        self.may_rule(acting, account)
    }

    /// An admin stands above whoever is no admin, a superadmin above everybody else. Others learn nothing, not even whether an account is there.
    fn may_rule(&self, acting: Acting, account: AccountId) -> Result<(), Reason> {
        let role = self.people.roles.get(&account).copied();
        let above = match acting.role {
            Some(Role::SuperAdmin) => account != acting.account,
            Some(Role::Admin) => role < Some(Role::Admin),
            _ => false,
        };
        if above { Ok(()) } else { Err(Reason::NotPermitted) }
    }

    fn disable(&mut self, acting: Acting, account: AccountId) -> Result<Applied, Reason> {
        self.may_end(acting, account)?;
        match self.account_state(account) {
            AccountState::Active => {}
            // Whom an admin has disabled, or who did it himself, a superadmin keeps from coming back by theirs.
            AccountState::Disabled { by }
                if self.is_superadmin(acting.account) && !self.is_superadmin(by) => {}
            AccountState::Disabled { .. } => return Ok(Applied::Done),
            AccountState::Deleted => return Err(Reason::NotFound),
        }
        self.bar(account)?;
        self.edit_account(account, |row| row.state = AccountState::Disabled { by: acting.account });
        self.record(format!("account {account} disabled by account {}", acting.account));
        Ok(Applied::Done)
    }

    /// What a superadmin has disabled, superadmins enable.
    fn enable(&mut self, acting: Acting, account: AccountId) -> Result<Applied, Reason> {
        self.may_rule(acting, account)?;
        match self.account_state(account) {
            AccountState::Active => return Ok(Applied::Done),
            AccountState::Deleted => return Err(Reason::NotFound),
            AccountState::Disabled { by } => {
                if self.is_superadmin(by) && acting.role != Some(Role::SuperAdmin) {
                    return Err(Reason::NotPermitted);
                }
            }
        }
        self.edit_account(account, |row| row.state = AccountState::Active);
        self.people.barred.remove(&account);
        self.record(format!("account {account} enabled by account {}", acting.account));
        Ok(Applied::Done)
    }

    fn is_superadmin(&self, account: AccountId) -> bool {
        self.people.roles.get(&account) == Some(&Role::SuperAdmin)
    }

    /// Keys, role, login and recovery key go; the id stays taken for ever.
    fn delete(&mut self, acting: Acting, account: AccountId) -> Result<Applied, Reason> {
        self.may_end(acting, account)?;
        if self.account_state(account) == AccountState::Deleted {
            return Err(Reason::NotFound);
        }
        self.bar(account)?;
        // The account is barred whole: its keys need not be one by one.
        for client in self.devices.remove(&account).unwrap_or_default() {
            self.clients.remove(&client);
            self.people.expiries.remove(&client);
        }
        self.people.roles.remove(&account);
        self.people.accounts.insert(account, Account { state: AccountState::Deleted, ..Account::default() });
        self.record(format!("account {account} deleted by account {}", acting.account));
        Ok(Applied::Done)
    }

    /// Until the last leaf of the account has ended.
    fn bar(&mut self, account: AccountId) -> Result<(), Reason> {
        let now = self.clock;
        self.people.barred.retain(|_, until| *until > now);
        if self.people.barred.len() >= limits::MAX_BARRED {
            return Err(Reason::Overloaded);
        }
        self.people.barred.insert(account, now.plus_ms(limits::LAST_LEAF_MS));
        Ok(())
    }

    fn set_role(
        &mut self,
        acting: Acting,
        account: AccountId,
        role: Option<Role>,
    ) -> Result<Applied, Reason> {
        if acting.role != Some(Role::SuperAdmin)
            || account == acting.account
            || role == Some(Role::SuperAdmin)
        {
            return Err(Reason::NotPermitted);
        }
        if self.account_state(account) == AccountState::Deleted {
            return Err(Reason::NotFound);
        }
        match role {
            None => {
                self.people.roles.remove(&account);
            }
            Some(role) => self.hold(account, role)?,
        }
        let role = role.map_or("none", Role::as_str);
        self.record(format!("global role of account {account} set to {role} by account {}", acting.account));
        Ok(Applied::Done)
    }

    fn hold(&mut self, account: AccountId, role: Role) -> Result<(), Reason> {
        let held = &self.people.roles;
        if held.len() >= limits::MAX_GLOBAL_ROLES && !held.contains_key(&account) {
            return Err(Reason::TooMany);
        }
        if role >= Role::Admin {
            self.revoke_passing(account)?;
        }
        self.people.roles.insert(account, role);
        Ok(())
    }

    /// Operators signed the token; whoever holds it uses it up.
    fn claim(&mut self, acting: Acting, token: SetupPublic) -> Result<Applied, Reason> {
        let known = self.people.tokens.get(&token).is_some_and(|expires| *expires > self.clock);
        if !known {
            return Err(Reason::TokenUnknown);
        }
        self.hold(acting.account, Role::SuperAdmin)?;
        self.people.tokens.remove(&token);
        self.record(format!("account {} is superadmin by set-up token {token}", acting.account));
        Ok(Applied::Done)
    }

    fn step_down(&mut self, acting: Acting) -> Result<Applied, Reason> {
        if acting.role != Some(Role::SuperAdmin) {
            return Err(Reason::NotPermitted);
        }
        let is_other = |(account, role)| account != acting.account && role == Role::SuperAdmin;
        if !self.global_roles().any(is_other) {
            return Err(Reason::LastOne);
        }
        self.people.roles.remove(&acting.account);
        self.record(format!("account {} stepped down as superadmin", acting.account));
        Ok(Applied::Done)
    }
}
