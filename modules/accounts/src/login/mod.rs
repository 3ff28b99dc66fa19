//! Logins: a name and a password that admit a key to an account for some hours, and the mail that confirms addresses and resets passwords.
//!
//! A login lives in the home of its name. Nobody stands in any relation to that home: the row says whose it is, and strangers come with what
//! they have to prove, a password or a code.
//!
//! Invariants: name and password are both needed, and an address is neither; what strangers are told about a name does not depend on whether
//! somebody has it; a try is counted before its password is looked at; a code is good once, for one purpose, for a while, and is in the mail
//! only; nothing here makes a certificate: the registry admits the key, and only to an account that named this login itself.

mod codes;
mod enter;
mod lockout;
mod mail;
mod own;
mod password;
mod reset;
mod rows;
mod service;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_accounts_api::v1::logins_server::LoginsServer;
use holdfast_domain::{AccountId, ClientId, LoginId, UnixMs};
use holdfast_keys::ClientPublic;
use holdfast_sys_core::{
    Clock, Refusal,
    attempts::{Attempts, Origin},
};
use tokio::sync::Semaphore;

pub use mail::{Address, Mail, MailError, Mailer};
pub use password::NoHasher;
pub use service::LoginsService;

use crate::limits::{LOGINS_MADE, MAILS_ASKED, MAX_REQUEST_BYTES, RESETS_AT_ONCE, STRANGERS};
use password::Hasher;

/// A key that a password admits.
#[derive(Debug, Clone)]
pub struct Admission {
    /// To which account.
    pub account: AccountId,
    /// The key's id.
    pub client: ClientId,
    /// The key, which was proven to be held.
    pub key: ClientPublic,
    /// By which login; the account must have named it.
    pub login: LoginId,
    /// When the key ends.
    pub expires: UnixMs,
}

/// Admits keys to accounts.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Returns when the key can have its leaf.
    ///
    /// # Errors
    /// The registry's refusals.
    async fn admit(&self, admission: Admission) -> Result<(), Refusal>;
}

/// What logins need of the node.
pub struct LoginSettings {
    /// Where keys are admitted.
    pub devices: Arc<dyn Devices>,
    /// Through what mail goes, if any does.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// The time.
    pub clock: Clock,
}

/// What calls share.
pub(crate) struct Desk {
    devices: Arc<dyn Devices>,
    mailer: Option<Arc<dyn Mailer>>,
    clock: Clock,
    hasher: Hasher,
    strangers: Attempts<Origin>,
    made: Attempts<AccountId>,
    mailed: Attempts<AccountId>,
    resetting: Arc<Semaphore>,
}

/// The service to mount on a server.
///
/// # Errors
/// [`NoHasher`].
pub fn server(settings: LoginSettings) -> Result<LoginsServer<LoginsService>, NoHasher> {
    let LoginSettings { devices, mailer, clock } = settings;
    let desk = Desk {
        devices,
        mailer,
        clock,
        hasher: Hasher::new()?,
        strangers: Attempts::new(STRANGERS),
        made: Attempts::new(LOGINS_MADE),
        mailed: Attempts::new(MAILS_ASKED),
        resetting: Arc::new(Semaphore::new(RESETS_AT_ONCE)),
    };
    let service = LoginsService::new(Arc::new(desk));
    Ok(LoginsServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES))
}
