//! Accounts: clients with their own keys, each a context of the one configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::{Client, config, credential::ClientCredential};
use holdfast_domain::AccountId;
use serde_json::Value;
use tonic::transport::Channel;

use super::Cluster;
use crate::cli::Program;

/// A client of an account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its context.
    pub context: String,
    /// The account.
    pub id: AccountId,
    holdfast: Program,
}

impl Cluster {
    /// Invites a client with this quota and lets it make its key and register.
    ///
    /// # Errors
    /// It is refused.
    pub fn add_account(&self, context: &str, quota: &str) -> anyhow::Result<Account> {
        let invite = self.invite(context, quota)?;
        self.register(context, &invite)
    }

    /// Lets a client make its key and register with an invite.
    ///
    /// # Errors
    /// It is refused.
    pub fn register(&self, context: &str, invite: &Path) -> anyhow::Result<Account> {
        let invite = invite.display().to_string();
        let credential = self.credential_of(context).display().to_string();
        let mut arguments = vec!["client", "init", "--context", context, "--credential", &credential];
        arguments.extend(["--invite-file", &invite]);
        let (root_hash, registries) = (self.founded()?.root_hash.clone(), self.registries());
        arguments.extend(["--root-hash", &root_hash]);
        for registry in &registries {
            arguments.extend(["--registry", registry]);
        }
        let answer = self.holdfast().json(arguments).with_context(|| format!("registering {context}"))?;
        let id = answer.get("account").and_then(Value::as_str).context("no account")?;
        Ok(Account { context: context.to_owned(), id: id.parse()?, holdfast: self.holdfast() })
    }

    /// An account's client, as a program of its own has it.
    ///
    /// # Errors
    /// The context is not in the configuration, or its credential does not open.
    pub fn client(&self, account: &Account, patience: Duration) -> anyhow::Result<Client> {
        let file = config::Config::load(&self.path("config.toml"))?;
        let context = file.contexts().iter().find(|(name, _)| name.as_str() == account.context);
        let (_, context) = context.with_context(|| format!("no context {}", account.context))?;
        Ok(Client::open_offline(context, patience)?)
    }

    /// A connection to one node, with the account's certificate.
    ///
    /// # Errors
    /// There is no such node, or it does not answer.
    pub async fn dial(&self, account: &Account, node: usize) -> anyhow::Result<Channel> {
        let pin = self.founded()?.root()?;
        let credential = ClientCredential::open(&self.credential_of(&account.context), Some(pin))?;
        let identity = LiveIdentity::new(credential.checked_identity()?);
        let dialer = Dialer::new(credential.trust().live(), Some(identity));
        let server = self.nodes.get(node).context("no such node")?;
        let id = server.node.as_deref().context("it has not joined")?.parse()?;
        Ok(dialer.connect(&server.address(), &ExpectedServer::Node(id)).await?.channel)
    }

    /// Where the cluster is and where a context's key goes, for commands that make a key.
    ///
    /// # Errors
    /// The cluster was not founded yet.
    pub fn place_of(&self, context: &str) -> anyhow::Result<Vec<String>> {
        let mut arguments = vec!["--root-hash".to_owned(), self.founded()?.root_hash.clone()];
        arguments.extend(["--credential".to_owned(), self.credential_of(context).display().to_string()]);
        for registry in self.registries() {
            arguments.extend(["--registry".to_owned(), registry]);
        }
        Ok(arguments)
    }

    /// The same account on another device, whose context is there or will be.
    pub fn device_of(&self, account: &Account, context: &str) -> Account {
        Account { context: context.to_owned(), id: account.id, holdfast: self.holdfast() }
    }

    /// Where a client's key is.
    pub fn credential_of(&self, context: &str) -> PathBuf {
        self.path("accounts").join(context)
    }

    /// A one-time invite's file.
    ///
    /// # Errors
    /// It is refused.
    pub fn invite(&self, name: &str, quota: &str) -> anyhow::Result<PathBuf> {
        let folder = self.path("invites");
        fs::create_dir_all(&folder).context("the folder of invites")?;
        let file = folder.join(name);
        let path = file.display().to_string();
        self.holdfast().ok(["invite", "new", "--out", &path, "--quota", quota]).context("an invite")?;
        Ok(file)
    }
}

impl Account {
    /// `holdfast` as this client.
    pub fn holdfast(&self) -> Program {
        self.holdfast.clone().with_argument("--context").with_argument(&self.context)
    }

    /// Bytes in use.
    ///
    /// # Errors
    /// No answer.
    pub fn used(&self) -> anyhow::Result<u64> {
        let usage = self.holdfast().json(["files", "usage"])?;
        usage.get("used_bytes").and_then(Value::as_u64).context("no usage")
    }
}
