//! Accounts that call the service, behind guard and gate, over homes in memory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use holdfast_accounts_api::v1::{
    CreateProjectRequest, CreateRequest, DeleteProjectRequest, DeleteRequest, GetRequest, Grant,
    ListMembersRequest, ListProjectsRequest, Membership, Organisation, Project, PutMemberRequest,
    RemoveMemberRequest, RenameProjectRequest, RenameRequest, TransferOwnerRequest,
    organisations_client::OrganisationsClient,
};
use holdfast_domain::{AccountId, ClientId, Home, HomeId, OrgId, ProjectId, Reason, Role};
use holdfast_proto::module::v1::Route;
use holdfast_sys_core::{
    BanList, Clock, PlatformServer, Refusal,
    gate::Gated,
    testing::{Local, MemoryHost},
};
use tonic::Status;

use crate::{MODULE, Memberships, POLICIES, server};

pub(super) const ORG: OrgId = OrgId::new([0xee; 16]);

/// How requests write the organisation itself.
pub(super) const ALL: &str = "organisation";

/// The service over its homes.
pub(super) struct Desk {
    server: PlatformServer,
    pub(super) host: Arc<MemoryHost>,
    commands: AtomicU64,
}

/// One account's calls about one organisation.
pub(super) struct Person<'a> {
    desk: &'a Desk,
    pub(super) account: AccountId,
    pub(super) home: HomeId,
}

impl Desk {
    pub(super) async fn new() -> Self {
        let host = MemoryHost::empty();
        let gated = Gated {
            module: MODULE,
            policies: POLICIES,
            host: Arc::<MemoryHost>::clone(&host),
            standings: Arc::new(Memberships::new(Arc::<MemoryHost>::clone(&host))),
        };
        let pinned = holdfast_certs::PinnedPeers::none();
        let server =
            PlatformServer::builder("test".parse().unwrap(), BanList::new(), pinned, Clock::system())
                .descriptors(holdfast_proto::DESCRIPTORS)
                .descriptors(holdfast_accounts_api::DESCRIPTORS)
                .service(server())
                .module(gated)
                .build()
                .await
                .unwrap();
        Self { server, host, commands: AtomicU64::new(0) }
    }

    /// With an organisation of account 1.
    pub(super) async fn with_organisation() -> Self {
        let desk = Self::new().await;
        desk.person(1).create("Acme").await.unwrap();
        desk
    }

    /// Calls of somebody without an identity.
    pub(super) fn anonymous(&self) -> OrganisationsClient<Local> {
        OrganisationsClient::new(Local::anonymous(&self.server))
    }

    pub(super) fn person(&self, account: u8) -> Person<'_> {
        Person { desk: self, account: AccountId::new([account; 16]), home: ORG.into() }
    }
}

pub(super) fn id(account: u8) -> Bytes {
    vec![account; 16].into()
}

/// A project's id as memberships write it.
pub(super) fn scope_of(project: &Project) -> String {
    ProjectId::try_from(&*project.id).unwrap().to_string()
}

pub(super) fn grant(scope: &str, role: Role) -> Grant {
    Grant { scope: scope.to_owned(), role: role.number() }
}

/// What a client would be told.
pub(super) fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    Refusal::from_status(&result.unwrap_err()).unwrap().reason()
}

impl Person<'_> {
    pub(super) fn at(self, home: impl Into<HomeId>) -> Self {
        Self { home: home.into(), ..self }
    }

    pub(super) fn client(&self) -> OrganisationsClient<Local> {
        let home = Home { account: self.account, quota_bytes: 1 << 30 };
        OrganisationsClient::new(Local::client(
            &self.desk.server,
            ClientId::new(*self.account.as_bytes()),
            home,
        ))
    }

    /// A route with a command id of its own.
    pub(super) fn route(&self) -> Option<Route> {
        let number = self.desk.commands.fetch_add(1, Ordering::Relaxed);
        let command_id = [number.to_be_bytes(), [3; 8]].concat().into();
        Some(Route { map_epoch: 1, group: 1, command_id, home: Some(self.home.into()), max_staleness_ms: 0 })
    }

    pub(super) async fn create(&self, name: &str) -> Result<Organisation, Status> {
        let request = CreateRequest { route: self.route(), name: name.to_owned() };
        Ok(self.client().create(request).await?.into_inner())
    }

    pub(super) async fn get(&self) -> Result<Organisation, Status> {
        Ok(self.client().get(GetRequest { route: self.route() }).await?.into_inner())
    }

    pub(super) async fn rename(&self, name: &str) -> Result<Organisation, Status> {
        let request = RenameRequest { route: self.route(), name: name.to_owned() };
        Ok(self.client().rename(request).await?.into_inner())
    }

    pub(super) async fn transfer(&self, to: u8) -> Result<Organisation, Status> {
        let request = TransferOwnerRequest { route: self.route(), account: id(to) };
        Ok(self.client().transfer_owner(request).await?.into_inner())
    }

    pub(super) async fn delete(&self) -> Result<bool, Status> {
        Ok(self.client().delete(DeleteRequest { route: self.route() }).await?.into_inner().done)
    }

    pub(super) async fn create_project(&self, name: &str) -> Result<Project, Status> {
        let request = CreateProjectRequest { route: self.route(), name: name.to_owned() };
        Ok(self.client().create_project(request).await?.into_inner())
    }

    pub(super) async fn rename_project(&self, project: &Project, name: &str) -> Result<Project, Status> {
        let request =
            RenameProjectRequest { route: self.route(), project: project.id.clone(), name: name.to_owned() };
        Ok(self.client().rename_project(request).await?.into_inner())
    }

    pub(super) async fn delete_project(&self, project: &Project) -> Result<bool, Status> {
        let request = DeleteProjectRequest { route: self.route(), project: project.id.clone() };
        Ok(self.client().delete_project(request).await?.into_inner().done)
    }

    /// Names of all projects that are listed, sorted.
    pub(super) async fn projects(&self) -> Result<Vec<String>, Status> {
        let (mut names, mut cursor) = (Vec::new(), Bytes::new());
        loop {
            let request = ListProjectsRequest { route: self.route(), cursor, limit: 3 };
            let page = self.client().list_projects(request).await?.into_inner();
            names.extend(page.projects.into_iter().map(|project| project.name));
            cursor = page.cursor;
            if cursor.is_empty() {
                names.sort();
                return Ok(names);
            }
        }
    }

    pub(super) async fn put(
        &self,
        account: u8,
        grants: impl IntoIterator<Item = Grant>,
    ) -> Result<Vec<Membership>, Status> {
        let grants = grants.into_iter().collect();
        let request = PutMemberRequest { route: self.route(), account: id(account), grants };
        Ok(self.client().put_member(request).await?.into_inner().memberships)
    }

    /// Accounts and roles of all members that are listed, sorted.
    pub(super) async fn members(&self, scope: &str) -> Result<Vec<(u8, i32)>, Status> {
        let (mut members, mut cursor) = (Vec::new(), Bytes::new());
        loop {
            let request =
                ListMembersRequest { route: self.route(), scope: scope.to_owned(), cursor, limit: 3 };
            let page = self.client().list_members(request).await?.into_inner();
            members.extend(page.memberships.into_iter().map(|member| (member.account[0], member.role)));
            cursor = page.cursor;
            if cursor.is_empty() {
                members.sort_unstable();
                return Ok(members);
            }
        }
    }

    pub(super) async fn remove(&self, scope: &str, account: u8) -> Result<(), Status> {
        let request =
            RemoveMemberRequest { route: self.route(), scope: scope.to_owned(), account: id(account) };
        self.client().remove_member(request).await.map(drop)
    }
}
