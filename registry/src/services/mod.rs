//! What a voter offers to machines and clients. Who may call what is declared in the `.proto` files and enforced before a handler runs.

pub mod accounts;
pub mod clients;
pub mod custody;
pub mod directory;
pub mod enrolment;
mod limits;
mod signed;
pub mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use holdfast_certs::Peer;
use holdfast_domain::{NodeId, NodeRole, Reason};
use holdfast_proto::registry::v1::{
    accounts_server::AccountsServer, clients_server::ClientsServer, custody_server::CustodyServer,
    directory_server::DirectoryServer, enrolment_server::EnrolmentServer,
};
use holdfast_sys_core::{Caller, Refusal, limits::MAX_MESSAGE_BYTES, server::Builder};
use tonic::{Request, Status};

use crate::core::Core;

/// Mounts all of them behind the guard. Must be called within a runtime.
pub fn mount(builder: Builder, core: &Arc<Core>) -> Builder {
    let enrolment = EnrolmentServer::new(enrolment::EnrolmentService::new(Arc::clone(core)));
    let custody = CustodyServer::new(custody::CustodyService::new(Arc::clone(core)));
    builder
        .service(enrolment.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .service(DirectoryServer::new(directory::DirectoryService::new(Arc::clone(core))))
        .service(custody.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .service(ClientsServer::new(clients::ClientsService::new(Arc::clone(core))))
        .service(AccountsServer::new(accounts::AccountsService::new(Arc::clone(core))))
}

/// The calling machine.
fn machine<T>(request: &Request<T>) -> Result<(NodeRole, NodeId), Status> {
    match Caller::of(request)? {
        Caller::Node(node) => Ok((NodeRole::Node, *node)),
        Caller::Registry(node) => Ok((NodeRole::Registry, *node)),
        Caller::Anonymous | Caller::Client { .. } | Caller::Operator(_) => {
            Err(Refusal::new(Reason::NotPermitted).into())
        }
    }
}

/// The connection that a request came over.
fn peer<T>(request: &Request<T>) -> Result<&Peer, Refusal> {
    let peer = request.extensions().get::<Peer>();
    peer.ok_or_else(|| {
        Refusal::new(Reason::Internal).because("the listener tells nothing about its connections")
    })
}
