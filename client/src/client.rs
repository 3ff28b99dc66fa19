//! A client of an account: registers its key once, renews its certificate by itself, finds its shard through the registry.

mod registration;

use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use holdfast_certs::{Dialer, ExpectedServer, Identity, LiveIdentity, LiveTrust};
use holdfast_domain::{
    AccountId, ClientId, HomeId, MapEpoch, OrgId, Reason, RootHash, ShardMap, Signature64, Signed, UnixMs,
};
use holdfast_keys::{ClientKey, OneTime, random_array};
use holdfast_proto::registry::v1 as pb;

use self::registration::register;
pub(crate) use self::registration::{bootstrap, bytes_of, renew};
use crate::{
    Error, ErrorKind, Registries,
    config::{Context, RegistryAddress},
    credential::{ClientCredential, ClientDescription, NewClientCredential},
    files::Files,
    home::{Home, Leaders},
    limits::RENEW_AHEAD_TIMEOUT,
    map::{MapCache, Replica, Route},
    node_channels::NodeChannels,
    organisations::Organisation,
    session::{Bound, Connected, Session, Signer},
    time::now,
    trust::Trust,
};

/// What a registration needs.
pub struct Registering<'a> {
    /// Where the registries listen.
    pub registries: Vec<RegistryAddress>,
    /// The pin of the cluster's root.
    pub root_hash: RootHash,
    /// The invite, which is used up.
    pub invite: &'a OneTime,
    /// The credential directory to make.
    pub dir: &'a Path,
    /// How long to try.
    pub patience: Duration,
}

/// Who a client is, for people.
#[derive(Debug, Clone)]
pub struct ClientInfo {
    /// What its directory says.
    pub description: ClientDescription,
    /// Bytes that the account may store, as certified.
    pub quota_bytes: u64,
    /// End of its certificate.
    pub not_after: UnixMs,
    /// Epoch of the newest shard map seen.
    pub map_epoch: MapEpoch,
}

/// A registered client.
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    credential: ClientCredential,
}

/// What transfers share.
pub(crate) struct Shared {
    pub(crate) registries: Registries,
    pub(crate) nodes: NodeChannels,
    pub(crate) home: AccountId,
    pub(crate) uploads_dir: std::path::PathBuf,
    pub(crate) leaders: Leaders,
    /// A look for a newer map is under way.
    pub(crate) refreshing: AtomicBool,
    /// Marked as changed whenever a call was not permitted.
    pub(crate) denials: tokio::sync::watch::Sender<()>,
    pub(crate) maps: Mutex<MapCache>,
    identity: LiveIdentity,
}

impl Client {
    /// Registers a new account's first key. When an earlier try left a key in the directory, that key is registered, and a
    /// registration whose reply was lost is completed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn init(registering: Registering<'_>) -> Result<Self, Error> {
        const ACTION: &str = "register this client";
        let Registering { registries, root_hash, invite, dir, patience } = registering;
        let addresses: Vec<_> = registries.iter().map(ToString::to_string).collect();
        let strangers = Registries::new(addresses.clone(), Dialer::new(root_hash, None), patience);
        let trust = bootstrap(&strangers, root_hash).await?;
        let ids = (AccountId::new(random_array()?), ClientId::new(random_array()?));
        let describe = |trust: &Trust| ClientDescription {
            cluster: trust.cluster(),
            trust_domain: trust.trust_domain().clone(),
            root_hash,
            registries,
            account: ids.0,
            client: ids.1,
        };
        let new = NewClientCredential::prepare(dir, trust, describe, ClientKey::generate()?)?;
        let granted = match register(&strangers, &new, invite, ACTION).await {
            // The invite is used up, maybe by our own registration whose reply was lost: then the key is known.
            Err(Error::Refused { reason: Reason::InviteUnknown | Reason::AccountTaken, action }) => {
                let reason = Reason::InviteUnknown;
                let renewed = renew(&strangers, new.description(), new.key(), new.trust()).await;
                renewed.map_err(|_| Error::Refused { action, reason })?
            }
            other => other?,
        };
        Self::of_credential(new.complete(granted)?, addresses, patience)
    }

    /// Opens a context's client, and renews its certificate when more than half of its life is over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(context: &Context, patience: Duration) -> Result<Self, Error> {
        let mut client = Self::open_offline(context, patience)?;
        let identity = client.shared.identity.current();
        if past_half(&identity, now()) {
            let expired = identity.not_after() <= now();
            let longest = if expired { Duration::MAX } else { RENEW_AHEAD_TIMEOUT };
            match tokio::time::timeout(longest, client.renew()).await.unwrap_or(Ok(())) {
                Ok(()) => {}
                // Still good for a while: the next start tries again.
                Err(error) if !expired => tracing::warn!(%error, "the certificate could not be renewed"),
                Err(error) => return Err(error),
            }
        }
        Ok(client)
    }

    /// Opens a context's client without talking to anyone.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open_offline(context: &Context, patience: Duration) -> Result<Self, Error> {
        let credential = ClientCredential::open(&context.credential, Some(context.root_hash))?;
        let identity = credential.checked_identity()?;
        let addresses = context.registries.iter().map(ToString::to_string).collect();
        Self::assemble(credential, identity, addresses, patience)
    }

    /// A client of a credential that was made just now.
    pub(crate) fn of_credential(
        credential: ClientCredential,
        addresses: Vec<String>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let identity = credential.checked_identity()?;
        Self::assemble(credential, identity, addresses, patience)
    }

    /// Key, ids and cluster.
    pub(crate) const fn credential(&self) -> &ClientCredential {
        &self.credential
    }

    /// What became of a call by which this client ended its own rights: they may be gone before the answer came.
    pub(crate) async fn unless_out(&self, ended: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = ended else { return Ok(()) };
        let Self { credential, .. } = self;
        match renew(&self.strangers(), credential.description(), credential.key(), credential.trust()).await {
            Err(Error::Refused { reason: Reason::NotFound | Reason::Banned, .. }) => Ok(()),
            _ => Err(error),
        }
    }

    /// The registries, as somebody without a certificate sees them: ours may have expired, and the key itself proves who we are.
    pub(crate) fn strangers(&self) -> Registries {
        let dialer = Dialer::new(self.credential.trust().live(), None);
        let registries = &self.shared.registries;
        Registries::new(registries.addresses(), dialer, registries.patience())
    }

    fn assemble(
        credential: ClientCredential,
        identity: Identity,
        addresses: Vec<String>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let trust: LiveTrust = credential.trust().live();
        let identity = LiveIdentity::new(identity);
        let dialer = Dialer::new(trust, Some(identity.clone()));
        let maps = MapCache::open(
            credential.trust().cluster(),
            credential.trust().map_key(),
            credential.map_file(),
        )?;
        let shared = Arc::new(Shared {
            registries: Registries::remembering(
                credential.voters_file(),
                addresses,
                dialer.clone(),
                patience,
            ),
            nodes: NodeChannels::new(dialer),
            home: credential.description().account,
            uploads_dir: credential.uploads_dir(),
            leaders: Leaders::default(),
            refreshing: AtomicBool::new(false),
            denials: tokio::sync::watch::Sender::new(()),
            maps: Mutex::new(maps),
            identity,
        });
        Ok(Self { shared, credential })
    }

    /// A fresh certificate for the same key.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew(&mut self) -> Result<(), Error> {
        let description = self.credential.description();
        let strangers = self.strangers();
        let granted = renew(&strangers, description, self.credential.key(), self.credential.trust()).await?;
        let identity = self.credential.replace_chain(granted)?;
        self.shared.identity.replace(identity);
        self.shared.registries.learn().await;
        Ok(())
    }

    /// Who this is.
    pub fn info(&self) -> ClientInfo {
        let identity = self.shared.identity.current();
        ClientInfo {
            description: self.credential.description().clone(),
            quota_bytes: identity.peer_identity().home.map_or(0, |home| home.quota_bytes),
            not_after: identity.not_after(),
            map_epoch: self.shared.maps().epoch(),
        }
    }

    /// Who serves this client's home: from the known map, or from the registry when there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resolve(&self) -> Result<Route, Error> {
        self.shared.route(self.shared.home.into(), "find the account's shard").await
    }

    /// A home, for calls to the modules that serve it; `None` is the account's own.
    pub fn home(&self, of: Option<HomeId>) -> Home {
        let shared = Arc::clone(&self.shared);
        let id = of.unwrap_or(shared.home.into());
        Home::new(shared, id)
    }

    /// A session with the node that serves this client's home, over a connection of its own that shows no certificate.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn session(&self, bound: Bound) -> Result<Session, Error> {
        const ACTION: &str = "open a session";
        let Route { group, mut replicas, .. } = self.shared.route(self.shared.home.into(), ACTION).await?;
        // Who leads takes what the session writes; the others name it.
        let leader = self.shared.leaders.of(group);
        replicas.sort_by_key(|replica| Some(replica.node) != leader);
        let mut failed = Error::Reply { action: ACTION.to_owned(), what: "replica" };
        for replica in &replicas {
            match self.session_with(replica, bound.clone()).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => failed = error,
                other => return other,
            }
        }
        Err(failed)
    }

    /// The same with any node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn session_with(&self, replica: &Replica, bound: Bound) -> Result<Session, Error> {
        let dialer = Dialer::new(self.credential.trust().live(), None);
        let expected = ExpectedServer::Node(replica.node);
        let dialed = dialer.connect(&replica.address, &expected).await;
        let dialed = dialed.map_err(|error| Error::dial("open a session", error))?;
        let signer = Signer {
            cluster: self.credential.trust().cluster(),
            identity: self.shared.identity.clone(),
            key: Arc::clone(self.credential.key()),
        };
        let to = Connected { channel: dialed.channel, exporter: dialed.exporter, node: replica.node };
        Session::open(signer, to, bound).await
    }

    /// The account's own files.
    pub fn files(&self) -> Files {
        Files::new(self.home(None))
    }

    /// An organisation, whether it is there or not.
    pub fn organisation(&self, id: OrgId) -> Organisation {
        Organisation::new(self.home(Some(id.into())), id)
    }

    /// The files of any home.
    pub fn files_of(&self, home: HomeId) -> Files {
        Files::new(self.home(Some(home)))
    }
}

/// A map as it comes on the wire; its signature is yet to be checked.
pub(crate) fn signed_map(row: pb::SignedRow) -> Option<Signed<ShardMap>> {
    let signature = <[u8; 64]>::try_from(&*row.signature).ok()?;
    Some(Signed::from_parts(row.bytes.to_vec(), Signature64(signature)))
}

/// Whether more than half of a certificate's life is over.
pub(crate) fn past_half(identity: &Identity, now: UnixMs) -> bool {
    let life = identity.not_after().since(identity.not_before());
    now.since(identity.not_before()) > life / 2
}
