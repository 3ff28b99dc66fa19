//! Accounts and their clients' keys.

use holdfast_domain::Reason;

use crate::{command::RegisterClient, limits, member::Client, outcome::Applied, state::State};

impl State {
    /// A new account with its first client. The same registration again, after an unknown outcome, is applied already.
    pub(crate) fn register_client(&mut self, request: RegisterClient) -> Result<Applied, Reason> {
        let RegisterClient { account, client, key, invite } = request;
        if self.clients.get(&client).is_some_and(|known| known.account == account && known.key == key) {
            return Ok(Applied::Done);
        }
        let found = self.invites.get(&invite).filter(|invite| invite.expires > self.clock);
        let quota_bytes = found.ok_or(Reason::InviteUnknown)?.quota_bytes;
        if self.accounts.contains_key(&account) {
            return Err(Reason::AccountTaken);
        }
        self.check_new(client)?;
        if self.accounts.len() >= limits::MAX_ACCOUNTS {
            return Err(Reason::Overloaded);
        }
        self.invites.remove(&invite);
        self.accounts.insert(account, quota_bytes);
        self.put_client(client, Client { account, key, registered: self.clock }, None);
        self.record(format!("client {client} of account {account} registered with invite {invite}"));
        Ok(Applied::Done)
    }
}
