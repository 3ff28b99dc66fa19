//! Changes of an account's keys.

use holdfast_domain::{
    AccountId, BanSubject, ClientId, HomeId, NodeId, Reason, ReplicaState, Role, Slot, SpiffeSubject,
};

use crate::{
    changes::{AdmitDevice, DeviceChange, Recover},
    limits,
    member::Client,
    outcome::Applied,
    people::AccountState,
    state::State,
};

impl State {
    pub(crate) fn change_device(
        &mut self,
        by: &SpiffeSubject,
        change: DeviceChange,
    ) -> Result<Applied, Reason> {
        match change {
            DeviceChange::Add { client, key } => self.add_device(by, client, key),
            DeviceChange::Rotate { client, key } => self.rotate_device(by, client, key),
            DeviceChange::Revoke(client) => self.revoke_device(by, client),
            DeviceChange::SetRecovery(key) => {
                let acting = self.acting(by)?;
                acting.must_stay()?;
                self.edit_account(acting.account, |row| row.recovery = Some(key));
                self.record(format!(
                    "client {} set the recovery key of account {}",
                    acting.client, acting.account
                ));
                Ok(Applied::Done)
            }
            DeviceChange::Recover(recover) => self.recover(by, &recover),
            DeviceChange::SetLogin(login) => {
                let acting = self.acting(by)?;
                acting.must_stay()?;
                self.edit_account(acting.account, |row| row.login = login);
                self.record(format!("client {} set the login of account {}", acting.client, acting.account));
                Ok(Applied::Done)
            }
            DeviceChange::Admit(admit) => self.admit_device(by, &admit),
        }
    }

    fn add_device(&mut self, by: &SpiffeSubject, client: ClientId, key: [u8; 32]) -> Result<Applied, Reason> {
        let acting = self.acting(by)?;
        acting.must_stay()?;
        let account = acting.account;
        if self.has_device(account, client, key) {
            return Ok(Applied::Done);
        }
        self.check_new(client)?;
        self.check_churn(account, limits::MAX_REVOKED_AN_ACCOUNT)?;
        if self.staying(account) >= limits::MAX_DEVICES {
            return Err(Reason::TooMany);
        }
        self.put_client(client, Client { account, key, registered: self.clock }, None);
        self.record(format!("client {} added client {client} to account {account}", acting.client));
        Ok(Applied::Done)
    }

    /// The new key takes the old one's place, and its end if it has one.
    fn rotate_device(
        &mut self,
        by: &SpiffeSubject,
        client: ClientId,
        key: [u8; 32],
    ) -> Result<Applied, Reason> {
        let acting = self.acting(by)?;
        self.check_new(client)?;
        self.check_churn(acting.account, limits::MAX_REVOKED_AN_ACCOUNT)?;
        let account = acting.account;
        self.revoke(acting.client);
        self.put_client(client, Client { account, key, registered: self.clock }, acting.expires);
        self.record(format!("client {client} of account {account} replaced client {}", acting.client));
        Ok(Applied::Done)
    }

    fn revoke_device(&mut self, by: &SpiffeSubject, client: ClientId) -> Result<Applied, Reason> {
        let acting = self.acting(by)?;
        let row = self.clients.get(&client).filter(|row| row.account == acting.account);
        let account = row.ok_or(Reason::NotFound)?.account;
        if client != acting.client {
            acting.must_stay()?;
        }
        if self.expires(client).is_none() && self.staying(account) <= 1 {
            return Err(Reason::LastOne);
        }
        self.check_churn(account, limits::MAX_CHURN_AN_ACCOUNT)?;
        self.revoke(client);
        self.record(format!("client {} revoked client {client} of account {account}", acting.client));
        Ok(Applied::Done)
    }

    /// The voter saw the signature of the key that is used up; only the state knows whether it is the account's.
    fn recover(&mut self, by: &SpiffeSubject, recover: &Recover) -> Result<Applied, Reason> {
        let SpiffeSubject::Registry(_) = by else { return Err(Reason::NotPermitted) };
        let Recover { account, used, next, client, key } = recover;
        let recovery = self.people.accounts.get(account).and_then(|row| row.recovery);
        if recovery == Some(*next) && used != next && self.has_device(*account, *client, *key) {
            return Ok(Applied::Done);
        }
        // Whoever does not hold the key learns nothing about the account, not even whether it is there.
        if recovery != Some(*used) || used == next {
            return Err(Reason::ProofOfPossession);
        }
        self.check_active(*account)?;
        self.check_new(*client)?;
        self.check_churn(*account, limits::MAX_CHURN_AN_ACCOUNT)?;
        let all: Vec<_> = self.devices(*account).map(|(id, _, _)| id).collect();
        let count = all.len();
        all.into_iter().for_each(|id| self.revoke(id));
        self.put_client(*client, Client { account: *account, key: *key, registered: self.clock }, None);
        // Nor does a login stay that whoever had a key may have made: it would admit keys of his again.
        self.edit_account(*account, |row| (row.recovery, row.login) = (Some(*next), None));
        self.record(format!("account {account} recovered by client {client}; {count} others revoked"));
        Ok(Applied::Done)
    }

    /// Nodes speak for the logins of the slots that they serve, and no others; an account says itself which login is its own.
    fn admit_device(&mut self, by: &SpiffeSubject, admit: &AdmitDevice) -> Result<Applied, Reason> {
        let AdmitDevice { account, client, key, login, expires } = admit;
        let SpiffeSubject::Node(node) = by else { return Err(Reason::NotPermitted) };
        if !self.serves(*node, HomeId::Login(*login)) {
            return Err(Reason::WrongGroup);
        }
        let own = self.people.accounts.get(account).and_then(|row| row.login);
        if own != Some(*login) {
            return Err(Reason::NotPermitted);
        }
        self.check_active(*account)?;
        // Whoever decides about others comes with a key: a password that was guessed shall not open every organisation.
        if self.people.roles.get(account) >= Some(&Role::Admin) {
            return Err(Reason::NotPermitted);
        }
        let now = self.clock;
        if *expires <= now || expires.since(now) > limits::MAX_LOGIN_DEVICE_MS {
            return Err(Reason::Malformed);
        }
        if self.has_device(*account, *client, *key) {
            return Ok(Applied::Done);
        }
        self.check_new(*client)?;
        self.drop_expired(*account);
        let mut passing: Vec<_> =
            self.devices(*account).filter_map(|(id, _, at)| at.map(|at| (at, id))).collect();
        passing.sort_unstable();
        if passing.len() >= limits::MAX_LOGIN_DEVICES
            && let Some((_, oldest)) = passing.first()
        {
            self.check_churn(*account, limits::MAX_REVOKED_AN_ACCOUNT)?;
            self.revoke(*oldest);
        }
        let row = Client { account: *account, key: *key, registered: now };
        self.put_client(*client, row, Some(*expires));
        self.record(format!("node {node} admitted client {client} to account {account} by its login"));
        Ok(Applied::Done)
    }

    fn serves(&self, node: NodeId, home: HomeId) -> bool {
        let Some((_, map)) = &self.map else { return false };
        let group = map.group_of(Slot::of_home(map.cluster, home));
        let votes = |group: &holdfast_domain::GroupDescriptor| {
            group.replicas.iter().any(|of| of.node == node && of.state == ReplicaState::Voter)
        };
        group.is_some_and(votes)
    }

    pub(crate) fn check_active(&self, account: AccountId) -> Result<(), Reason> {
        if self.bans.contains(&BanSubject::Account(account)) {
            return Err(Reason::Banned);
        }
        match self.account_state(account) {
            AccountState::Active => Ok(()),
            AccountState::Disabled { .. } => Err(Reason::Banned),
            AccountState::Deleted => Err(Reason::NotFound),
        }
    }

    fn has_device(&self, account: AccountId, client: ClientId, key: [u8; 32]) -> bool {
        self.clients.get(&client).is_some_and(|row| row.account == account && row.key == key)
    }

    /// An id that was revoked does not come back while it is barred.
    pub(crate) fn check_new(&self, client: ClientId) -> Result<(), Reason> {
        if self.clients.contains_key(&client) || self.people.revoked.contains_key(&client) {
            return Err(Reason::AccountTaken);
        }
        if self.clients.len() >= limits::MAX_CLIENTS { Err(Reason::Overloaded) } else { Ok(()) }
    }

    /// Revoked keys are shown to everybody for a day: an account fills that list only so far, and all of them together.
    fn check_churn(&self, account: AccountId, max: usize) -> Result<(), Reason> {
        let live = self.people.revoked.values().filter(|row| row.until > self.clock);
        let (mut all, mut own) = (0_usize, 0_usize);
        for row in live {
            all = all.saturating_add(1);
            own = own.saturating_add(usize::from(row.account == account));
        }
        if own >= max {
            return Err(Reason::TooMany);
        }
        if all >= limits::MAX_REVOKED { Err(Reason::Overloaded) } else { Ok(()) }
    }

    /// Ends the keys of an account that its login admitted.
    pub(crate) fn revoke_passing(&mut self, account: AccountId) -> Result<(), Reason> {
        let passing = |(id, _, expires): (ClientId, _, Option<_>)| expires.map(|_| id);
        let passing: Vec<_> = self.devices(account).filter_map(passing).collect();
        if !passing.is_empty() {
            self.check_churn(account, limits::MAX_CHURN_AN_ACCOUNT)?;
        }
        passing.into_iter().for_each(|client| self.revoke(client));
        Ok(())
    }

    /// Keys of an account that stay.
    fn staying(&self, account: AccountId) -> usize {
        self.devices(account).filter(|(_, _, expires)| expires.is_none()).count()
    }
}
