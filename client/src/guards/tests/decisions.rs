//! For every screen and every caller, the guard says what the server will decide.

use std::{convert::Infallible, future, task::Poll};

use holdfast_domain::{AccountId, HomeId, ProjectId, Role, Scope, Standing};
use holdfast_proto::module::v1::capabilities_client::CapabilitiesClient;
use holdfast_sys_core::testing::{Desk, Local};
use proptest::prelude::*;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Context as Task, Service, http},
    server::NamedService,
};

use super::*;

const PROTO: &str = r#"
    syntax = "proto3"; package board.v1;
    import "holdfast/module/v1/route.proto";
    import "holdfast/options/v1/module.proto";
    import "holdfast/options/v1/rule.proto";
    service Board {
      option (holdfast.options.v1.module) = {
        name: "board"
        tablespace: "board"
        screens: {path: "/", title: "Home", needs: "Note.list", navigation: true}
        screens: {path: "/notes/{id}", title: "Note", needs: "Note.get"}
        screens: {path: "/notes/{id}/edit", title: "Edit", needs: "Note.edit"}
        screens: {path: "/notes/{id}/remove", title: "Remove", needs: "Note.remove"}
        screens: {path: "/settings", title: "Settings", needs: "Setting.show", navigation: true}
        screens: {path: "/settings/change", title: "Change", needs: "Setting.change", navigation: true}
      };
      rpc List(Q) returns (A) { option (holdfast.options.v1.rule) = {check: {action: "list", entity: "Note"}}; }
      rpc Get(Q) returns (A) { option (holdfast.options.v1.rule) = {check: {action: "get", entity: "Note"}}; }
      rpc Edit(Q) returns (A) { option (holdfast.options.v1.rule) = {check: {action: "edit", entity: "Note"}}; }
      rpc Remove(Q) returns (A) { option (holdfast.options.v1.rule) = {check: {action: "remove", entity: "Note"}}; }
      rpc Show(Q) returns (A) { option (holdfast.options.v1.rule) = {check: {action: "show", entity: "Setting"}}; }
      rpc Change(Q) returns (A) { option (holdfast.options.v1.rule) = {check: {action: "change", entity: "Setting"}}; }
    }
    message Q { holdfast.module.v1.Route route = 1; }
    message A {}
    message NoteRow {
      option (holdfast.options.v1.entity) = {type: "Note", table: "note", key: "id"};
      bytes id = 1;
      string author = 2 [(holdfast.options.v1.attr) = {policy: true}];
      string project = 3 [(holdfast.options.v1.attr) = {policy: true}];
    }
    message SettingRow {
      option (holdfast.options.v1.entity) = {type: "Setting", table: "setting", key: "name"};
      string name = 1;
    }"#;

const POLICIES: &str = r#"
    permit(principal, action, resource) when { principal in board::Role::"owner" };
    permit(principal, action, resource) when { principal in board::Role::"admin" };
    permit(principal, action in [board::Action::"Note.list", board::Action::"Note.get"], resource)
    when { principal in board::Role::"guest" };
    permit(principal, action == board::Action::"Note.edit", resource)
    when { principal in board::Role::"user" && resource.author == principal.id };
    permit(principal, action in [board::Action::"Note.list", board::Action::"Note.get"], resource is board::Note)
    when { principal.guest_of.contains(resource.project) };
    permit(principal, action == board::Action::"Note.edit", resource)
    when { principal.user_of.contains(resource.project) };
    permit(principal, action == board::Action::"Setting.show", resource)
    when { principal in board::Role::"user" };
    forbid(principal, action == board::Action::"Note.remove", resource)
    unless { principal in board::Role::"superadmin" };
"#;

/// Screens in order: a place there, the method that does what it needs, and its title in the navigation.
const SCREENS: [(&str, &str, Option<&str>); 6] = [
    ("/", "List", Some("Home")),
    ("/notes/17", "Get", None),
    ("/notes/17/edit", "Edit", None),
    ("/notes/17/remove", "Remove", None),
    ("/settings", "Show", Some("Settings")),
    ("/settings/change", "Change", Some("Change")),
];

const ANN: AccountId = AccountId::new([1; 16]);

/// Answers everything that reaches it.
#[derive(Clone)]
struct Handlers;

impl NamedService for Handlers {
    const NAME: &'static str = "board.v1.Board";
}

impl Service<http::Request<Body>> for Handlers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        future::ready(Ok(Status::ok("").into_http()))
    }
}

fn descriptors() -> &'static [u8] {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("board.proto"), PROTO).unwrap();
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let mut compiler = protox::Compiler::new([folder.path().to_str().unwrap(), proto]).unwrap();
    compiler.include_imports(true).open_files([folder.path().join("board.proto")]).unwrap();
    compiler.encode_file_descriptor_set().leak()
}

async fn capabilities(caller: &Local, home: HomeId) -> Capabilities {
    let route = pb::Route { home: Some(home.into()), ..pb::Route::default() };
    let request = pb::GetCapabilitiesRequest { route: Some(route) };
    let reply = CapabilitiesClient::new(caller.clone()).get(request).await.unwrap();
    reply.into_inner().try_into().unwrap()
}

/// Compares guards and server for all screens; returns how many are open.
async fn compare(desk: &Desk, home: HomeId) -> usize {
    let caller = desk.client(ANN);
    let capabilities = capabilities(&caller, home).await;
    assert_eq!(capabilities.actions().len(), SCREENS.len(), "every action is told");
    let (routes, mut shown, mut open) = (RouteGuard::of(capabilities.clone()), Vec::new(), 0);
    for (place, method, title) in SCREENS {
        let path = format!("/board.v1.Board/{method}");
        let allowed = match caller.knock(&path, home).await {
            Code::Ok => true,
            Code::PermissionDenied => false,
            other => panic!("{method}: {other:?}"),
        };
        let action = Action {
            module: "board".to_owned(),
            entity: if place.starts_with("/settings") { "Setting" } else { "Note" }.to_owned(),
            action: method.to_lowercase(),
        };
        assert_eq!(capabilities.extent(&action) != Extent::Never, allowed, "{action:?}");
        match routes.check(place) {
            Access::Open(screen) => assert!(allowed && screen.needs == action, "{screen:?}"),
            Access::Closed { because } => {
                assert_eq!((allowed, because), (false, Because::NotOffered), "{place}")
            }
        }
        open += usize::from(allowed);
        shown.extend(title.filter(|_| allowed));
    }
    let items = NavigationGuard::of(capabilities).items();
    assert!(items.iter().map(|item| item.title.as_str()).eq(shown), "{items:?}");
    open
}

fn standings() -> impl Strategy<Value = Standing> {
    let role = || prop::sample::select(Role::ALL.to_vec());
    let project = (0u8..3).prop_map(|number| ProjectId::new([number; 16]));
    let projects = prop::collection::vec((project, role()), 0..3);
    (prop::option::of(role()), projects).prop_map(|(role, projects)| {
        let mut standing = Standing::default();
        if let Some(role) = role {
            standing.hold(Scope::Global, role);
        }
        projects.into_iter().for_each(|(project, role)| standing.hold(Scope::Project(project), role));
        standing
    })
}

#[test]
fn invariant_guards_say_what_the_server_decides() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let desk = runtime.block_on(Desk::open("board", POLICIES, descriptors(), Handlers)).unwrap();
    assert_eq!(runtime.block_on(compare(&desk, ANN.into())), 5, "an owner, for whom one thing is forbidden");
    let mut tries = proptest::test_runner::TestRunner::default();
    tries
        .run(&standings(), |standing| {
            let stranger = standing.is_stranger();
            desk.stand(ANN, Desk::ORG, standing);
            let open = runtime.block_on(compare(&desk, Desk::ORG));
            prop_assert!(!stranger || open == 0);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn each_role_opens_its_screens() {
    let desk = Desk::open("board", POLICIES, descriptors(), Handlers).await.unwrap();
    assert_eq!(compare(&desk, Desk::ORG).await, 0, "a stranger");
    for (role, open) in [(Role::Guest, 2), (Role::User, 4), (Role::Admin, 5), (Role::SuperAdmin, 6)] {
        desk.member(ANN, role);
        assert_eq!(compare(&desk, Desk::ORG).await, open, "{role:?}");
    }
    let mut standing = Standing::default();
    standing.hold(Scope::Project(ProjectId::new([1; 16])), Role::User);
    desk.stand(ANN, Desk::ORG, standing);
    assert_eq!(compare(&desk, Desk::ORG).await, 3, "a member of a project");
}
