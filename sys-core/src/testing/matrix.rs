//! Who gets how far with each method: a text to be kept as a golden file.

use std::fmt::Write as _;

use holdfast_authz::{Scope, Subject};
use holdfast_domain::{AccountId, Check, HomeId, MethodRule, Role, Standing};
use tonic::Code;

use super::Desk;

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
    let answer = desk.client(*account).knock(path, *home).await;
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
    desk.policies.scope(&Subject { account: Some(account), standing, via: None }, check).ok()
}
