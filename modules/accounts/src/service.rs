//! The service: each request to its operation, with what the gate opened for it.

use std::{sync::Arc, time::Instant};

use holdfast_accounts_api::v1::{
    CreateProjectRequest, CreateRequest, DeleteProjectRequest, DeleteReply, DeleteRequest, GetRequest,
    ListMembersReply, ListMembersRequest, ListProjectsReply, ListProjectsRequest, Organisation, Project,
    PutMemberReply, PutMemberRequest, RemoveMemberReply, RemoveMemberRequest, RenameProjectRequest,
    RenameRequest, TransferOwnerRequest,
    organisations_server::{Organisations, OrganisationsServer},
};
use holdfast_domain::{AccountId, Reason};
use holdfast_sys_core::{Refusal, attempts::Attempts, gate::Context};
use tonic::{Request, Response, Status};

use crate::{
    limits::{MAX_REQUEST_BYTES, ORGANISATIONS_MADE},
    member, organisation, project,
};

/// The service.
#[derive(Clone)]
pub struct OrganisationsService {
    /// Organisations that accounts made lately, at this node.
    made: Arc<Attempts<AccountId>>,
}

/// The service to mount on a server.
pub fn server() -> OrganisationsServer<OrganisationsService> {
    let made = Arc::new(Attempts::new(ORGANISATIONS_MADE));
    OrganisationsServer::new(OrganisationsService { made }).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Runs an operation on a request, in the request's context.
macro_rules! operation {
    ($request:ident => $operation:path) => {{
        let context = Context::of(&$request)?.clone();
        Ok(Response::new($operation(&context, $request.into_inner()).await?))
    }};
}

#[tonic::async_trait]
impl Organisations for OrganisationsService {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<Organisation>, Status> {
        let account = Context::of(&request)?.account()?;
        let counted = self.made.take(account, Instant::now());
        counted.map_err(|_| Refusal::new(Reason::RateLimited).because("organisations made"))?;
        operation!(request => organisation::create)
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Organisation>, Status> {
        operation!(request => organisation::get)
    }

    async fn rename(&self, request: Request<RenameRequest>) -> Result<Response<Organisation>, Status> {
        operation!(request => organisation::rename)
    }

    async fn transfer_owner(
        &self,
        request: Request<TransferOwnerRequest>,
    ) -> Result<Response<Organisation>, Status> {
        operation!(request => organisation::transfer)
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteReply>, Status> {
        operation!(request => organisation::delete)
    }

    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        operation!(request => project::create)
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsReply>, Status> {
        operation!(request => project::list)
    }

    async fn rename_project(
        &self,
        request: Request<RenameProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        operation!(request => project::rename)
    }

    async fn delete_project(
        &self,
        request: Request<DeleteProjectRequest>,
    ) -> Result<Response<DeleteReply>, Status> {
        operation!(request => project::delete)
    }

    async fn put_member(
        &self,
        request: Request<PutMemberRequest>,
    ) -> Result<Response<PutMemberReply>, Status> {
        operation!(request => member::put)
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersReply>, Status> {
        operation!(request => member::list)
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberReply>, Status> {
        operation!(request => member::remove)
    }
}
