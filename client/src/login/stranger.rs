//! Somebody with a name and no key: what he asks of the node that serves the name's home. Each call is over one connection of its own, because
//! signing in is bound to it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_accounts_api::v1::{self as pb, logins_client::LoginsClient};
use holdfast_certs::{Dialed, Dialer, ExpectedServer};
use holdfast_domain::{
    AccountId, ClientId, CommandId, LoginId, LoginName, NodeId, Reason, RootHash, ShardMap, Signed,
};
use holdfast_keys::{ClientKey, SignIn, random_array};
use holdfast_proto::{module::v1 as wire, registry::v1 as registry};
use tonic::{Response, Status};

use super::Password;
use crate::{
    Client, Error, ErrorKind, Registries,
    client::{bootstrap, bytes_of, renew, signed_map},
    config::RegistryAddress,
    credential::{ClientDescription, NewClientCredential},
    error::{Answer, is_passing},
    home::{Left, Turns, new_command},
    limits::{ASK_NODE_TIMEOUT, CALL_TIMEOUT, MAX_REPLY_BYTES},
    map::{MapCache, MapRefused, Offer, Replica, Route, learn},
    registries::{Repeat, jitter, millis},
    retry::{Failure, MapStep, NewerMap, Retry, Step},
    trust::Trust,
};

/// Who signs in, and where his key goes.
pub struct SigningIn {
    /// Where the registries listen.
    pub registries: Vec<RegistryAddress>,
    /// The pin of the cluster's root.
    pub root_hash: RootHash,
    /// The name.
    pub name: LoginName,
    /// How long to try.
    pub patience: Duration,
}

/// Somebody without a key.
pub struct Stranger {
    registries: Registries,
    configured: Vec<RegistryAddress>,
    trust: Trust,
    dialer: Dialer,
    maps: MapCache,
    login: LoginId,
    patience: Duration,
}

impl Stranger {
    /// Learns about the cluster.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn meet(signing_in: SigningIn) -> Result<Self, Error> {
        let SigningIn { registries: configured, root_hash, name, patience } = signing_in;
        let addresses = configured.iter().map(ToString::to_string).collect();
        let registries = Registries::new(addresses, Dialer::new(root_hash, None), patience);
        let trust = bootstrap(&registries, root_hash).await?;
        let maps = MapCache::new(trust.cluster(), trust.map_key());
        let dialer = Dialer::new(trust.live(), None);
        let login = LoginId::of(trust.cluster(), &name);
        Ok(Self { registries, configured, trust, dialer, maps, login, patience })
    }

    /// Has a new key admitted, which lives for some hours, and makes its credential directory.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::SignInRefused`].
    pub async fn sign_in(mut self, password: &Password, dir: PathBuf) -> Result<Client, Error> {
        const ACTION: &str = "sign in";
        let (client, key) = (ClientId::new(random_array()?), ClientKey::generate()?);
        let public = key.public();
        let login = self.login;
        let call = |dialed: Dialed, route| {
            let exporter = dialed.exporter.as_bytes();
            let message = SignIn { login, exporter, client, key: &public }.message();
            let request = pb::SignInRequest {
                route: Some(route),
                password: password.to_wire(),
                client_id: client.as_bytes().to_vec().into(),
                key: public.as_bytes().to_vec().into(),
                proof: bytes_of(key.sign_raw(&message)),
            };
            async move { LoginsClient::new(dialed.channel).sign_in(request).await }
        };
        let pb::SignInReply { account_id, expires_ms: _ } = self.call(ACTION, call).await?;
        let account = AccountId::try_from(account_id.as_ref());
        let account = account.map_err(|_| Error::Reply { action: ACTION.to_owned(), what: "account" })?;
        let Self { registries, configured, trust, patience, .. } = self;
        let describe = |trust: &Trust| ClientDescription {
            cluster: trust.cluster(),
            trust_domain: trust.trust_domain().clone(),
            root_hash: trust.root_hash(),
            registries: configured,
            account,
            client,
        };
        let new = NewClientCredential::prepare(&dir, trust, describe, key)?;
        let chain = renew(&registries, new.description(), new.key(), new.trust()).await?;
        Client::of_credential(new.complete(chain)?, registries.addresses(), patience)
    }

    /// Has a code mailed to the name's verified address, if there is such a name with one: nobody says.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotConfigured`] when the cluster sends no mail.
    pub async fn request_reset(&mut self) -> Result<(), Error> {
        let call = |dialed: Dialed, route| async move {
            let request = pb::RequestResetRequest { route: Some(route) };
            LoginsClient::new(dialed.channel).request_reset(request).await
        };
        self.call("ask for a code", call).await.map(|pb::RequestResetReply {}| ())
    }

    /// Sets a password with the code from the mail.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::CodeUnknown`].
    pub async fn reset(&mut self, code: &str, password: &Password) -> Result<(), Error> {
        let call = |dialed: Dialed, route| {
            let (token, password) = (code.to_owned(), password.to_wire());
            let request = pb::ResetRequest { route: Some(route), token, password };
            async move { LoginsClient::new(dialed.channel).reset(request).await }
        };
        self.call("reset the password", call).await.map(|pb::ResetReply {}| ())
    }

    /// One call, again at another replica or with a newer map, under one command.
    async fn call<T, F, Fut>(&mut self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(Dialed, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let (began, command, mut turns) = (Instant::now(), new_command()?, Turns::default());
        let mut retry = Retry::new(millis(self.patience), 0);
        loop {
            let (answer, failure) = match self.route(action).await? {
                None => (Answer::refused(Reason::NotReady), Failure::NoServer),
                Some(route) => {
                    let none = || Error::Reply { action: action.to_owned(), what: "replica" };
                    let replica = turns.next(route.group, &route.replicas, None).ok_or_else(none)?;
                    let answer = match self.ask(replica, &route, command, &call).await {
                        Ok(reply) => return Ok(reply),
                        Err(answer) => answer,
                    };
                    let failure = judge(&answer, &mut turns, replica.node, &route.replicas);
                    (answer, failure)
                }
            };
            let step = retry.after(failure, millis(began.elapsed()), jitter());
            let Step::Again { after_ms, map } = step else {
                return Err(answer.into_error(action, began.elapsed()));
            };
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            if map != MapStep::Keep {
                self.learn(&answer).await?;
            }
        }
    }

    async fn ask<T, F, Fut>(
        &self,
        replica: &Replica,
        route: &Route,
        command: CommandId,
        call: &F,
    ) -> Result<T, Answer>
    where
        F: Fn(Dialed, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let wire = wire::Route {
            map_epoch: route.epoch.0,
            group: route.group.0,
            command_id: Bytes::copy_from_slice(command.as_bytes()),
            home: Some(holdfast_domain::HomeId::Login(self.login).into()),
            max_staleness_ms: 0,
        };
        let dialed = self.dialer.connect(&replica.address, &ExpectedServer::Node(replica.node)).await;
        let dialed =
            dialed.map_err(|error| Answer::Silent { last: holdfast_domain::causes(&error), sent: false })?;
        match tokio::time::timeout(CALL_TIMEOUT, call(dialed, wire)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(Answer::of(&status)),
            Err(_) => Err(crate::home::no_reply()),
        }
    }

    /// Who serves the name's home.
    async fn route(&mut self, action: &str) -> Result<Option<Route>, Error> {
        if self.maps.newest().is_none() {
            self.resolve(action).await?;
        }
        Ok(self.maps.route(self.login))
    }

    /// Takes a newer map from an answer, from a node of the group, or from the registry, should one of them have it.
    async fn learn(&mut self, answer: &Answer) -> Result<(), Error> {
        if let Answer::Refused { map: Some(map), .. } = answer {
            return self.offer(map).map(drop);
        }
        let replicas = self.maps.route(self.login).map(|route| route.replicas).unwrap_or_default();
        for replica in &replicas {
            let channel = self.dialer.channel(&replica.address, ExpectedServer::Node(replica.node));
            let Ok(channel) = channel else { continue };
            if let Ok(Some(map)) = learn::of_node(channel, self.maps.order()).await
                && self.offer(&map)? == Offer::Taken
            {
                return Ok(());
            }
        }
        // It may be down, and the map that is known may be right.
        match tokio::time::timeout(ASK_NODE_TIMEOUT, self.resolve("look for a newer shard map")).await {
            Ok(Err(error)) if error.kind() != ErrorKind::Unavailable => Err(error),
            _ => Ok(()),
        }
    }

    async fn resolve(&mut self, action: &str) -> Result<(), Error> {
        let reply = self.registries.call(action, Repeat::Safe, |channel| {
            let request = registry::ResolveRequest { home: Bytes::new(), min_map_epoch: 0 };
            let directory = registry::directory_client::DirectoryClient::new(channel);
            let mut directory = directory.max_decoding_message_size(MAX_REPLY_BYTES);
            async move { directory.resolve(request).await.map(Response::into_inner) }
        });
        let registry::ResolveReply { map, group: _ } = reply.await?;
        let missing = || Error::Reply { action: action.to_owned(), what: "shard map" };
        let signed = map.and_then(signed_map).ok_or_else(missing)?;
        self.offer(&signed).map(drop)
    }

    /// The same map is no news, and an older one of a server that lags no harm.
    fn offer(&mut self, map: &Signed<ShardMap>) -> Result<Offer, Error> {
        match self.maps.offer(map) {
            Err(MapRefused::Older { .. }) => Ok(Offer::Known),
            other => Ok(other?),
        }
    }
}

/// What an answer means for the next try. Too many tries is an answer, not a state that passes.
fn judge(answer: &Answer, turns: &mut Turns, asked: NodeId, replicas: &[Replica]) -> Failure {
    let left = match answer {
        Answer::Refused { reason: Reason::RateLimited, .. } => return Failure::Final,
        Answer::Refused { reason: Reason::StaleMap | Reason::WrongGroup, map, .. } => {
            return Failure::StaleMap(if map.is_some() { NewerMap::Attached } else { NewerMap::Elsewhere });
        }
        Answer::Refused { reason: Reason::NotLeader, leader: Some(leader), .. } => {
            turns.hint(asked, *leader, replicas)
        }
        Answer::Silent { .. } => turns.of_no_use(asked, replicas),
        Answer::Refused { reason, .. } if is_passing(*reason) => turns.of_no_use(asked, replicas),
        _ => return Failure::Final,
    };
    match left {
        Left::Somebody => Failure::NextServer,
        Left::Nobody => Failure::NoServer,
    }
}
