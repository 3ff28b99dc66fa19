//! Who gets how far with each method: a text to be kept as a golden file.

use std::fmt::Write as _;

use bytes::Bytes;
use holdfast_authz::{Scope, Subject};
use holdfast_domain::{AccountId, Check, HomeId, MethodRule, Role, Standing};
use holdfast_proto::module::v1::Route;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::{Code, Status, body::Body};
use tower_service::Service as _;

use super::{Desk, Local};

/// A request as far as the gate reads it: all that follows is left out.
#[derive(Clone, PartialEq, prost::Message)]
struct Routed {
    #[prost(message, optional, tag = "1")]
    route: Option<Route>,
}

/// One column.
struct Kind {
    name: &'static str,
    account: AccountId,
    home: HomeId,
    standing: Standing,
}

/// Calls every method of the module with an otherwise empty request, as a stranger, guest, user, admin and super-admin of an organisation
/// and as the owner of a home. `all rows`, `some rows` and, for methods without a check, `allowed` are calls that reached the handler; of
/// the others it says the code. With a `!`, it was the handler that refused what the policies permit.
///
/// A method's line changes when somebody is let further or less far: that is what its golden file is for.
pub async fn deny_matrix(desk: &Desk) -> String {
    let kinds = kinds();
    let mut text = String::new();
    kinds.iter().for_each(|kind| cell(&mut text, kind.name));
    text.push_str("method\n");
    for (path, rule) in &desk.module.methods {
        for kind in &kinds {
            cell(&mut text, &outcome(desk, path, rule, kind).await);
        }
        text.push_str(path.rsplit('.').next().unwrap_or(path));
        text.push('\n');
    }
    text
}

fn cell(text: &mut String, of: &str) {
    let _infallible = write!(text, "{of:<18}");
}

fn kinds() -> Vec<Kind> {
    let account = |number: u8| AccountId::new([number; 16]);
    let member = |name, number, role| {
        let standing = Standing { role, ..Standing::default() };
        Kind { name, account: account(number), home: Desk::ORG, standing }
    };
    let owner = Standing { owner: true, ..Standing::default() };
    vec![
        member("stranger", 0xe0, None),
        member("guest", 0xe1, Some(Role::Guest)),
        member("user", 0xe2, Some(Role::User)),
        member("admin", 0xe3, Some(Role::Admin)),
        Kind { name: "owner", account: account(0xe4), home: account(0xe4).into(), standing: owner },
        member("superadmin", 0xe5, Some(Role::SuperAdmin)),
    ]
}

async fn outcome(desk: &Desk, path: &str, rule: &MethodRule, kind: &Kind) -> String {
    let Kind { name: _, account, home, standing } = kind;
    if *home == Desk::ORG {
        desk.stand(*account, *home, standing.clone());
    }
    let answer = call(desk.client(*account), path, *home).await;
    let scope = match rule {
        MethodRule::Audience(_) => None,
        MethodRule::Check(check) => Some(scope(desk, check, *account, standing)),
    };
    // Whatever the handler makes of an empty request, it was asked.
    match (scope, answer) {
        (None, Code::Unauthenticated | Code::PermissionDenied) | (Some(Some(Scope::Never)), _) => {
            format!("{answer:?}")
        }
        (None, _) => "allowed".to_owned(),
        (Some(None), _) => "NO SCOPE".to_owned(),
        (Some(Some(_)), Code::PermissionDenied | Code::Unauthenticated | Code::Internal) => {
            format!("{answer:?}!")
        }
        (Some(Some(Scope::Always)), _) => "all rows".to_owned(),
        (Some(Some(Scope::Rows(_))), _) => "some rows".to_owned(),
    }
}

fn scope(desk: &Desk, check: &Check, account: AccountId, standing: &Standing) -> Option<Scope> {
    desk.policies.scope(&Subject { account, standing, via: None }, check).ok()
}

/// The code of the answer's head; a stream that began is `Ok`.
async fn call(mut local: Local, path: &str, home: HomeId) -> Code {
    let route = Route { home: Some(home.into()), ..Route::default() };
    let message = Routed { route: Some(route) }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let frame = Full::new(Bytes::from([&[0], &length[..], &message].concat()));
    let body = Body::new(frame.map_err(|never| match never {}));
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body);
    let Ok(request) = request else { return Code::Unknown };
    match local.call(request).await {
        Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
        Err(never) => match never {},
    }
}
