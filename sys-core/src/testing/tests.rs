use std::pin::Pin;

use futures::Stream;
use holdfast_domain::{AccountId, CommandId, HomeId, Reason, Role};
use holdfast_proto::module::v1::Route;
use holdfast_sample_api::{
    DESCRIPTORS,
    v1::{
        AboutReply, AboutRequest, GetRequest, NoteRow, PutReply, PutRequest,
        samples_client::SamplesClient,
        samples_server::{Samples, SamplesServer},
    },
};
use tonic::{Request, Response, Status};

use super::*;
use crate::{Refusal, gate::Context, query::RowKey};

const POLICIES: &str = r#"
    @id("guests-read")
    permit(principal in sample::Role::"guest", action == sample::Action::"Note.get", resource);
    @id("authors-write")
    permit(principal in sample::Role::"user", action == sample::Action::"Note.put", resource)
    when { resource.author == principal.id };
    @id("admins-write")
    permit(principal in sample::Role::"admin", action, resource);
"#;

const ANN: AccountId = AccountId::new([1; 16]);
const BOB: AccountId = AccountId::new([2; 16]);

struct Service;

impl Service {
    async fn note(request: &Request<GetRequest>) -> Result<NoteRow, Status> {
        let table = Context::of(request)?.table::<NoteRow>()?;
        let id: String = request.get_ref().id.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = RowKey::new([id])?;
        Ok(table.get(&key).await?.into_answer())
    }
}

#[tonic::async_trait]
impl Samples for Service {
    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutReply>, Status> {
        let context = Context::of(&request)?.clone();
        let table = context.table::<NoteRow>()?;
        let note = request.into_inner().note.ok_or(Refusal::new(Reason::Malformed))?;
        table.put(context.command()?, &note).await?;
        Ok(Response::new(PutReply {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<NoteRow>, Status> {
        Self::note(&request).await.map(Response::new)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<NoteRow, Status>> + Send>>;

    async fn watch(&self, request: Request<GetRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let note = Self::note(&request).await?;
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(note)]))))
    }

    async fn about(&self, _: Request<AboutRequest>) -> Result<Response<AboutReply>, Status> {
        Ok(Response::new(AboutReply {}))
    }
}

async fn desk() -> Desk {
    Desk::open("sample", POLICIES, DESCRIPTORS, SamplesServer::new(Service)).await.unwrap()
}

fn route(home: HomeId) -> Option<Route> {
    let command_id = CommandId::new([9; 16]).as_bytes().to_vec().into();
    Some(Route { command_id, home: Some(home.into()), ..Route::default() })
}

fn put(author: AccountId) -> PutRequest {
    let note = NoteRow {
        id: vec![1].into(),
        author: author.to_string(),
        password: "secret".to_owned(),
        ..NoteRow::default()
    };
    PutRequest { route: route(Desk::ORG), note: Some(note) }
}

fn get() -> GetRequest {
    GetRequest { route: route(Desk::ORG), id: vec![1].into() }
}

fn reason(status: &Status) -> Reason {
    Refusal::from_status(status).unwrap().reason()
}

#[tokio::test]
async fn calls_go_through_guard_gate_and_handler() {
    let desk = desk().await;
    let mut ann = SamplesClient::new(desk.client(ANN));
    assert_eq!(reason(&ann.put(put(ANN)).await.unwrap_err()), Reason::NotPermitted);
    desk.member(ANN, Role::User);
    assert_eq!(reason(&ann.put(put(BOB)).await.unwrap_err()), Reason::NotPermitted);
    ann.put(put(ANN)).await.unwrap();
    let note = ann.get(get()).await.unwrap().into_inner();
    assert_eq!((&*note.author, &*note.password), (&*ANN.to_string(), ""));
    let mut stream = ann.watch(get()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap(), Some(note));
    assert_eq!(desk.home(Desk::ORG).records().len(), 2, "the row and its index row");
    assert_eq!(desk.home(ANN.into()).records().len(), 0);
}

#[tokio::test]
async fn the_matrix_says_who_reaches_which_handler() {
    let expected = "\
stranger          guest             user              admin             owner             superadmin        method
allowed           allowed           allowed           allowed           allowed           allowed           Samples/About
PermissionDenied  all rows          all rows          all rows          all rows          all rows          Samples/Get
PermissionDenied  PermissionDenied  some rows         all rows          some rows         all rows          Samples/Put
PermissionDenied  all rows          all rows          all rows          all rows          all rows          Samples/Watch
";
    let matrix = deny_matrix(&desk().await).await;
    assert_eq!(matrix, expected, "\n{matrix}");
}

#[tokio::test]
async fn filters_are_decisions_and_both_answers_are_seen() {
    let compared = filter_is_decision(POLICIES, desk().await.module()).unwrap();
    assert!(compared.allowed > 100 && compared.denied > 100, "{compared:?}");
    let broken = filter_is_decision("permit(principal, action, resource) when { 1 };", desk().await.module());
    assert!(matches!(*broken.unwrap_err(), NotEquivalent::Policies(_)));
}

#[tokio::test]
async fn what_stops_a_server_stops_a_desk() {
    let open = |module, policies| Desk::open(module, policies, DESCRIPTORS, SamplesServer::new(Service));
    assert!(matches!(open("other", POLICIES).await, Err(DeskError::NoModule("other"))));
    assert!(matches!(open("sample", "permit(x);").await, Err(DeskError::Policies(_))));
}
