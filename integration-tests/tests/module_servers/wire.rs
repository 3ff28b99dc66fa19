//! The messages of both modules, as their `.proto` files have them, and calls.

use holdfast_client::{Error, ErrorKind, Home};
use holdfast_proto::module::v1::Route;
use prost::Message;
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(message, optional, tag = "1")]
    route: Option<Route>,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(string, tag = "3")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(message, optional, tag = "1")]
    route: Option<Route>,
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) author: String,
    #[prost(string, tag = "3")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListReply {
    #[prost(message, repeated, tag = "1")]
    notes: Vec<Note>,
    #[prost(bytes = "vec", tag = "2")]
    cursor: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttackRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) route: Option<Route>,
    #[prost(uint32, tag = "2")]
    pub(crate) node_pid: u32,
    #[prost(string, tag = "3")]
    pub(crate) node_folder: String,
    #[prost(uint32, tag = "4")]
    pub(crate) node_port: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) registry_port: u32,
    #[prost(string, tag = "6")]
    pub(crate) other_socket: String,
    #[prost(string, tag = "7")]
    pub(crate) other_data_socket: String,
    #[prost(string, tag = "8")]
    pub(crate) other_item: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttackReply {
    #[prost(string, tag = "1")]
    report: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

async fn call<Q, R>(home: &Home, path: &'static str, request: impl Fn(Route) -> Q) -> Result<R, Error>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    home.call(path, |channel, route| {
        let request = Request::new(request(route));
        async move {
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, R>::default()).await
        }
    })
    .await
}

async fn put(home: &Home, path: &'static str, id: &str, text: &str) -> Result<(), Error> {
    let request = |route| PutRequest { route: Some(route), id: id.to_owned(), text: text.to_owned() };
    call::<_, Nothing>(home, path, request).await.map(|_| ())
}

pub(crate) async fn put_note(home: &Home, id: &str, text: &str) -> Result<(), Error> {
    put(home, "/example.notes.v1.Notes/Put", id, text).await
}

pub(crate) async fn put_item(home: &Home, id: &str, text: &str) -> Result<(), Error> {
    put(home, "/tests.vault.v1.Vault/Put", id, text).await
}

pub(crate) async fn get_note(home: &Home, id: &str) -> Result<Note, Error> {
    let request = |route| GetRequest { route: Some(route), id: id.to_owned() };
    call(home, "/example.notes.v1.Notes/Get", request).await
}

pub(crate) async fn list_notes(home: &Home) -> Result<Vec<String>, Error> {
    let request = |route| GetRequest { route: Some(route), id: String::new() };
    let ListReply { notes, cursor } = call(home, "/example.notes.v1.Notes/List", request).await?;
    assert!(cursor.is_empty());
    Ok(notes.into_iter().map(|note| note.id).collect())
}

pub(crate) async fn attack(home: &Home, target: &AttackRequest) -> Result<String, Error> {
    let request = |route| AttackRequest { route: Some(route), ..target.clone() };
    Ok(call::<_, AttackReply>(home, "/tests.vault.v1.Vault/Attack", request).await?.report)
}

/// Why a call was refused.
pub(crate) fn reason<T>(result: Result<T, Error>) -> &'static str {
    let error = result.err().expect("a refusal");
    let ErrorKind::Refused(reason) = error.kind() else { panic!("{error}") };
    reason.code()
}
