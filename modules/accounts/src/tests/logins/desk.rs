//! People who call the service about one name, over homes in memory.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use holdfast_accounts_api::v1::{
    CreateLoginRequest, GetLoginRequest, Login, RemoveLoginRequest, RequestResetRequest,
    RequestVerificationRequest, ResetRequest, SetPasswordRequest, SignInReply, SignInRequest, VerifyRequest,
    logins_client::LoginsClient,
};
use holdfast_domain::{AccountId, ClientId, ClusterId, Home, HomeId, LoginId, Reason, UnixMs};
use holdfast_keys::{ClientKey, SignIn, random_array};
use holdfast_proto::module::v1::Route;
use holdfast_sys_core::{
    BanList, Clock, PlatformServer, Refusal,
    gate::Gated,
    testing::{Local, MemoryHost},
};
use tonic::Status;

use crate::{
    MODULE, Memberships, POLICIES,
    login::{Admission, Devices, LoginSettings, Mail, MailError, Mailer, server},
};

pub(super) const ANN: AccountId = AccountId::new([1; 16]);
pub(super) const BOB: AccountId = AccountId::new([2; 16]);
pub(super) const NAME: &str = "ann";
pub(super) const OTHER_NAME: &str = "nobody";
pub(super) const GOOD: &str = "correct horse";
pub(super) const NEW: &str = "battery staple";
pub(super) const MAIL: &str = "ann@example.org";
pub(super) const START: u64 = 1_000_000;

/// The service, and what it reaches.
pub(super) struct Desk {
    server: PlatformServer,
    pub(super) host: Arc<MemoryHost>,
    world: Arc<World>,
}

/// Clock, registry and mail server.
#[derive(Default)]
struct World {
    now: AtomicU64,
    commands: AtomicU64,
    admitted: Mutex<Vec<Admission>>,
    refusal: Mutex<Option<Reason>>,
    mails: Mutex<Vec<(String, String)>>,
    away: AtomicBool,
}

#[async_trait]
impl Devices for World {
    async fn admit(&self, admission: Admission) -> Result<(), Refusal> {
        if let Some(reason) = *self.refusal.lock().unwrap() {
            return Err(reason.into());
        }
        self.admitted.lock().unwrap().push(admission);
        Ok(())
    }
}

#[async_trait]
impl Mailer for World {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(MailError("away".to_owned()));
        }
        self.mails.lock().unwrap().push((mail.to.as_str().to_owned(), mail.text.to_string()));
        Ok(())
    }
}

impl Desk {
    pub(super) async fn new() -> Self {
        Self::build(true).await
    }

    pub(super) async fn without_mail() -> Self {
        Self::build(false).await
    }

    /// With a login of Ann's.
    pub(super) async fn with_login() -> Self {
        let desk = Self::new().await;
        desk.person(ANN).create(GOOD).await.unwrap();
        desk
    }

    /// Whose address is known.
    pub(super) async fn with_verified_mail() -> Self {
        let desk = Self::with_login().await;
        desk.person(ANN).request_verification(MAIL).await.unwrap();
        desk.person(ANN).verify(&desk.mailed(1).await).await.unwrap();
        desk
    }

    async fn build(mail: bool) -> Self {
        let (host, world) = (MemoryHost::empty(), Arc::new(World::default()));
        world.now.store(START, Ordering::Relaxed);
        let gated = Gated {
            module: MODULE,
            policies: POLICIES,
            host: Arc::<MemoryHost>::clone(&host),
            standings: Arc::new(Memberships::new(Arc::<MemoryHost>::clone(&host))),
        };
        let told = Arc::clone(&world);
        let mailer: Option<Arc<dyn Mailer>> = if mail { Some(Arc::<World>::clone(&world)) } else { None };
        let settings = LoginSettings {
            devices: Arc::<World>::clone(&world),
            mailer,
            clock: Clock::new(move || UnixMs(told.now.load(Ordering::Relaxed))),
        };
        let pinned = holdfast_certs::PinnedPeers::none();
        let server =
            PlatformServer::builder("test".parse().unwrap(), BanList::new(), pinned, Clock::system())
                .descriptors(holdfast_proto::DESCRIPTORS)
                .descriptors(holdfast_accounts_api::DESCRIPTORS)
                .service(crate::server())
                .service(server(settings).unwrap())
                .module(gated)
                .build()
                .await
                .unwrap();
        Self { server, host, world }
    }

    pub(super) fn person(&self, account: AccountId) -> Person<'_> {
        let home = Home { account, quota_bytes: 1 << 30 };
        let local = Local::client(&self.server, ClientId::new(*account.as_bytes()), home);
        Person { desk: self, local, login: login_id() }
    }

    pub(super) fn anonymous(&self) -> Person<'_> {
        Person { desk: self, local: Local::anonymous(&self.server), login: login_id() }
    }

    pub(super) fn pass(&self, ms: u64) {
        self.world.now.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn admitted(&self) -> Vec<Admission> {
        self.world.admitted.lock().unwrap().clone()
    }

    pub(super) fn refuse_keys(&self, reason: Reason) {
        *self.world.refusal.lock().unwrap() = Some(reason);
    }

    pub(super) fn lose_mail(&self) {
        self.world.away.store(true, Ordering::Relaxed);
    }

    /// Recipients and texts.
    pub(super) fn mails(&self) -> Vec<(String, String)> {
        self.world.mails.lock().unwrap().clone()
    }

    /// The code in the last of so many mails, once they are there.
    pub(super) async fn mailed(&self, count: usize) -> String {
        for _ in 0..200 {
            if self.mails().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mails = self.mails();
        assert_eq!(mails.len(), count);
        code_in(&mails.last().unwrap().1)
    }

    /// What goes on after an answer has had its time.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The code in a mail.
pub(super) fn code_in(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| line.len() == 64).unwrap();
    line.to_owned()
}

pub(super) fn login_id() -> LoginId {
    id_of(NAME)
}

pub(super) fn id_of(name: &str) -> LoginId {
    LoginId::of(ClusterId::new([5; 16]), &name.parse().unwrap())
}

pub(super) fn new_key() -> (ClientId, ClientKey) {
    (ClientId::new(random_array().unwrap()), ClientKey::generate().unwrap())
}

/// One caller's calls about one name.
pub(super) struct Person<'a> {
    desk: &'a Desk,
    local: Local,
    login: LoginId,
}

impl Person<'_> {
    /// About another name.
    pub(super) fn at(&self, name: &str) -> Self {
        Self { desk: self.desk, local: self.local.clone(), login: id_of(name) }
    }

    pub(super) fn from(self, address: impl Into<IpAddr>) -> Self {
        Self { local: self.local.at(address.into()), ..self }
    }

    pub(super) fn client(&self) -> LoginsClient<Local> {
        LoginsClient::new(self.local.clone())
    }

    /// A route with a command id of its own.
    pub(super) fn route(&self) -> Option<Route> {
        let number = self.desk.world.commands.fetch_add(1, Ordering::Relaxed);
        let command_id = [number.to_be_bytes(), [3; 8]].concat().into();
        let home = HomeId::Login(self.login);
        Some(Route { map_epoch: 1, group: 1, command_id, home: Some(home.into()), max_staleness_ms: 0 })
    }

    pub(super) async fn create(&self, password: &str) -> Result<Login, Status> {
        let request = CreateLoginRequest { route: self.route(), password: password.to_owned().into() };
        Ok(self.client().create(request).await?.into_inner())
    }

    pub(super) async fn get(&self) -> Result<Login, Status> {
        Ok(self.client().get(GetLoginRequest { route: self.route() }).await?.into_inner())
    }

    pub(super) async fn set_password(&self, password: &str) -> Result<Login, Status> {
        let request = SetPasswordRequest { route: self.route(), password: password.to_owned().into() };
        Ok(self.client().set_password(request).await?.into_inner())
    }

    pub(super) async fn remove(&self) -> Result<(), Status> {
        self.client().remove(RemoveLoginRequest { route: self.route() }).await.map(drop)
    }

    pub(super) fn sign_in_request(&self, password: &str, client: ClientId, key: &ClientKey) -> SignInRequest {
        let public = key.public();
        let message = SignIn { login: self.login, exporter: &[0; 32], client, key: &public }.message();
        SignInRequest {
            route: self.route(),
            password: password.to_owned().into(),
            client_id: client.as_bytes().to_vec().into(),
            key: public.as_bytes().to_vec().into(),
            proof: key.sign_raw(&message).0.to_vec().into(),
        }
    }

    pub(super) async fn sign_in(&self, password: &str) -> Result<SignInReply, Status> {
        self.sign_in_with(password, &new_key().1).await
    }

    pub(super) async fn sign_in_with(&self, password: &str, key: &ClientKey) -> Result<SignInReply, Status> {
        let request = self.sign_in_request(password, new_key().0, key);
        Ok(self.client().sign_in(request).await?.into_inner())
    }

    pub(super) async fn request_verification(&self, email: &str) -> Result<(), Status> {
        let request = RequestVerificationRequest { route: self.route(), email: email.to_owned() };
        self.client().request_verification(request).await.map(drop)
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Login, Status> {
        let request = VerifyRequest { route: self.route(), token: token.to_owned() };
        Ok(self.client().verify(request).await?.into_inner())
    }

    pub(super) async fn request_reset(&self) -> Result<(), Status> {
        self.client().request_reset(RequestResetRequest { route: self.route() }).await.map(drop)
    }

    pub(super) async fn reset(&self, token: &str, password: &str) -> Result<(), Status> {
        let (token, password) = (token.to_owned(), password.to_owned().into());
        self.client().reset(ResetRequest { route: self.route(), token, password }).await.map(drop)
    }
}
