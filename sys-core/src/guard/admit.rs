//! The decision on one request and its audit event.

use std::sync::Arc;

use holdfast_authz::{CallerKind, Decision, decide};
use holdfast_certs::Peer;
use holdfast_domain::{HomeId, MethodRule, Reason};
use http::Request;

use super::Checks;
use crate::{
    authn::{Authenticated, Rejected},
    caller::Caller,
    limits::MAX_METHOD_PATH_BYTES,
    rules::Method,
    session::Session,
};

/// A request that is let in so far.
pub(super) enum Admitted {
    /// Nothing else is asked.
    Handler(Caller),
    /// The policies have their say.
    Policy(Arc<Asking>),
}

/// A request that is decided on more than once.
pub(super) struct Asking {
    pub(super) caller: Caller,
    pub(super) method: Arc<Method>,
    pub(super) peer: Peer,
    pub(super) session: Option<Arc<Session>>,
}

impl Asking {
    /// The audit event of the decision about a home; `None` for the caller's own, or when the request did not get as far as naming one.
    /// `policies` are those that decided, where some did.
    pub(super) fn record(&self, home: Option<HomeId>, policies: Option<&str>, result: Result<(), Reason>) {
        let decided = Decided { home, policies };
        record(Some(&self.peer), Some(&self.method), &self.caller.to_string(), decided, result);
    }
}

impl Checks {
    /// Lets a request in, as far as its method and its caller's kind go, or says why not. There is exactly one audit event, by whoever has
    /// the last word: here for what is refused and for what no policy is asked about, in [`policy`](super::policy) for the rest.
    ///
    /// For a request in a session, the connection's peer is the session's already.
    pub(super) fn admit<B>(
        &self,
        request: &Request<B>,
        session: Option<Arc<Session>>,
    ) -> Result<Admitted, Reason> {
        let (method, peer) = self.addressed(request)?;
        let Authenticated { caller, kind } = self.decide(peer, method).inspect_err(|reason| {
            record(Some(peer), Some(method), &subject(peer), Decided::default(), Err(*reason));
        })?;
        if let MethodRule::Check(_) = method.rule {
            return Ok(Admitted::Policy(Arc::new(Asking {
                caller,
                peer: peer.clone(),
                method: Arc::clone(method),
                session,
            })));
        }
        let name = if kind == CallerKind::Module { subject(peer) } else { caller.to_string() };
        record(Some(peer), Some(method), &name, Decided::default(), Ok(()));
        Ok(Admitted::Handler(caller))
    }

    /// The method of a request, and the connection that it came on.
    pub(super) fn addressed<'a, B>(
        &'a self,
        request: &'a Request<B>,
    ) -> Result<(&'a Arc<Method>, &'a Peer), Reason> {
        let peer = request.extensions().get::<Peer>();
        let path = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let method = if path.len() <= MAX_METHOD_PATH_BYTES { self.rules.find(path) } else { None };
        let Some(method) = method else {
            record(peer, None, "-", Decided::default(), Err(Reason::UnknownMethod));
            return Err(Reason::UnknownMethod);
        };
        let Some(peer) = peer else {
            tracing::error!(
                "the listener tells nothing about its connections: a server was put together wrongly"
            );
            record(None, Some(method), "-", Decided::default(), Err(Reason::Internal));
            return Err(Reason::Internal);
        };
        Ok((method, peer))
    }

    /// Whether the caller's identity still holds.
    pub(super) fn is_still(&self, asking: &Asking) -> Result<(), Reason> {
        if asking.session.as_ref().is_some_and(|session| !session.is_open()) {
            return Err(Reason::SessionUnknown);
        }
        let now = self.decide(&asking.peer, &asking.method)?;
        // Whoever was somebody does not go on as nobody: the call was let in for him.
        if now.caller == asking.caller { Ok(()) } else { Err(Reason::IdentityExpired) }
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

/// The audit event of a session that does not hold.
pub(super) fn record_no_session(peer: &Peer, method: &Method, reason: Reason) {
    record(Some(peer), Some(method), &subject(peer), Decided::default(), Err(reason));
}

/// Whom the connection claims to be, for the audit of a refusal.
fn subject(peer: &Peer) -> String {
    peer.identity
        .as_ref()
        .map_or_else(|| "anonymous".to_owned(), |identity| identity.spiffe.subject.to_string())
}

/// What a decision under a check was about, and what it follows from.
#[derive(Default)]
struct Decided<'a> {
    home: Option<HomeId>,
    policies: Option<&'a str>,
}

/// Writes the audit event. Of an unknown method nothing is repeated: the path is the stranger's text.
fn record(
    peer: Option<&Peer>,
    method: Option<&Method>,
    caller: &str,
    Decided { home, policies }: Decided<'_>,
    result: Result<(), Reason>,
) {
    let home = home.map(tracing::field::debug);
    let rule = method.map_or("none", |method| &*method.rule_id);
    let path = method.map_or("unknown", |method| &*method.path);
    let address = peer.map(|peer| tracing::field::display(peer.addr));
    match result {
        Ok(()) => {
            tracing::info!(target: "audit", decision = "allow", rule, policies, method = path, caller, home, address)
        }
        Err(reason) => {
            let reason = reason.code();
            tracing::info!(target: "audit", decision = "deny", rule, policies, method = path, caller, home, address, reason);
        }
    }
}
