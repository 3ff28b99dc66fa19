//! The decision on one request and its audit event.

use holdfast_authz::{CallerKind, Decision, decide};
use holdfast_certs::Peer;
use holdfast_domain::Reason;
use http::Request;

use super::Checks;
use crate::{
    authn::{Authenticated, Rejected},
    caller::Caller,
    limits::MAX_METHOD_PATH_BYTES,
    rules::Method,
};

impl Checks {
    /// Lets a request in, or says why not; either way there is exactly one audit event.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Caller, Reason> {
        let peer = request.extensions().get::<Peer>();
        let path = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let method = if path.len() <= MAX_METHOD_PATH_BYTES { self.rules.find(path) } else { None };
        let Some(method) = method else {
            record(peer, None, "-", Err(Reason::UnknownMethod));
            return Err(Reason::UnknownMethod);
        };
        let Some(peer) = peer else {
            tracing::error!(
                "the listener tells nothing about its connections: a server was put together wrongly"
            );
            record(None, Some(method), "-", Err(Reason::Internal));
            return Err(Reason::Internal);
        };
        let result = self.decide(peer, method);
        match &result {
            Ok(Authenticated { caller, kind: CallerKind::Module }) => {
                debug_assert_eq!(*caller, Caller::Anonymous);
                record(Some(peer), Some(method), &subject(peer), Ok(()));
            }
            Ok(Authenticated { caller, .. }) => record(Some(peer), Some(method), &caller.to_string(), Ok(())),
            Err(reason) => record(Some(peer), Some(method), &subject(peer), Err(*reason)),
        }
        result.map(|authenticated| authenticated.caller)
    }

    fn decide(&self, peer: &Peer, method: &Method) -> Result<Authenticated, Reason> {
        let (authenticated, otherwise) = match self.authenticator.authenticate(peer, &method.service) {
            Ok(authenticated) => (authenticated, None),
            Err(Rejected::Refused(reason)) => return Err(reason),
            Err(Rejected::AsAnonymous(reason)) => {
                let anonymous = Authenticated { caller: Caller::Anonymous, kind: CallerKind::Anonymous };
                (anonymous, Some(reason))
            }
        };
        match decide(&method.admits, &authenticated.kind) {
            Decision::Allow => Ok(authenticated),
            Decision::Deny(denied) => Err(otherwise.unwrap_or_else(|| denied.into())),
        }
    }
}

/// Whom the connection claims to be, for the audit of a refusal.
fn subject(peer: &Peer) -> String {
    peer.identity
        .as_ref()
        .map_or_else(|| "anonymous".to_owned(), |identity| identity.spiffe.subject.to_string())
}

/// Writes the audit event. Of an unknown method nothing is repeated: the path is the stranger's text.
fn record(peer: Option<&Peer>, method: Option<&Method>, caller: &str, result: Result<(), Reason>) {
    let rule = method.map_or("none", |method| &*method.rule_id);
    let path = method.map_or("unknown", |method| &*method.path);
    let address = peer.map(|peer| tracing::field::display(peer.addr));
    match result {
        Ok(()) => tracing::info!(target: "audit", decision = "allow", rule, method = path, caller, address),
        Err(reason) => {
            let reason = reason.code();
            tracing::info!(target: "audit", decision = "deny", rule, method = path, caller, address, reason);
        }
    }
}
