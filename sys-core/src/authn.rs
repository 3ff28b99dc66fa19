//! From a connection's identity to the caller of one request.
//!
//! The handshake proved the identity once; ban and expiry are checked here for every request, because connections outlive both.
//! So is the server's own expiry: a process that is cut off from the registry hears of no ban, and serves nobody once its leaf is over.

use holdfast_authz::CallerKind;
use holdfast_certs::{LiveIdentity, Peer, PeerIdentity, PinnedPeers};
use holdfast_domain::{Reason, SpiffeSubject, TrustDomain};

use crate::{bans::BanList, caller::Caller, clock::Clock};

/// The one service that a voter may call with an expired leaf, because its key is pinned in the membership: without it a cluster that
/// was off for longer than its leaves live would never elect a leader and never renew them.
const KEY_PINNED_SERVICE: &str = "holdfast.consensus.v1.Raft";

/// Authenticates requests.
#[derive(Clone)]
pub struct Authenticator {
    pub(crate) trust_domain: TrustDomain,
    bans: BanList,
    pinned: PinnedPeers,
    clock: Clock,
    /// What the server shows; `None` before it listens.
    own: Option<LiveIdentity>,
}

/// Who a request is from, and what kind the rule is asked about.
///
/// The two differ for callers that no handler knows: a module server, and an expired identity, are anonymous to public methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// For the handler.
    pub caller: Caller,
    /// For the decision.
    pub kind: CallerKind,
}

/// An identity that does not hold (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// No call at all: the reason is final.
    Refused(Reason),
    /// No call but those that need no identity.
    AsAnonymous(Reason),
}

impl Authenticator {
    /// Accepts identities of one trust domain.
    pub const fn new(trust_domain: TrustDomain, bans: BanList, pinned: PinnedPeers, clock: Clock) -> Self {
        Self { trust_domain, bans, pinned, clock, own: None }
    }

    /// The same for a server that shows this identity.
    #[must_use]
    pub fn showing(&self, own: LiveIdentity) -> Self {
        Self { own: Some(own), ..self.clone() }
    }

    /// The caller behind a connection, for a method of `service`.
    ///
    /// # Errors
    /// [`Rejected`] for an identity that is banned, expired or of another cluster, and for all of them once the server's own is over.
    pub fn authenticate(&self, peer: &Peer, service: &str) -> Result<Authenticated, Rejected> {
        let Some(identity) = peer.identity.as_deref() else {
            return Ok(Authenticated { caller: Caller::Anonymous, kind: CallerKind::Anonymous });
        };
        if identity.spiffe.trust_domain != self.trust_domain {
            return Err(Rejected::Refused(Reason::WrongCluster));
        }
        if self.bans.bans(identity) {
            return Err(Rejected::Refused(Reason::Banned));
        }
        let (now, pinned) = (self.clock.now(), self.is_pinned_for(identity, service));
        if identity.not_after <= now && !pinned {
            return Err(Rejected::AsAnonymous(Reason::IdentityExpired));
        }
        if self.own.as_ref().is_some_and(|own| own.current().not_after() <= now) && !pinned {
            return Err(Rejected::AsAnonymous(Reason::NotReady));
        }
        let kind = CallerKind::from(&identity.spiffe.subject);
        let caller = match &identity.spiffe.subject {
            SpiffeSubject::Registry(id) => Caller::Registry(*id),
            SpiffeSubject::Node(id) => Caller::Node(*id),
            SpiffeSubject::Operator(name) => Caller::Operator(name.clone()),
            SpiffeSubject::Client(client) => {
                // No authority of ours issues a client leaf without its account.
                let home = identity.home.ok_or(Rejected::Refused(Reason::Unauthenticated))?;
                Caller::Client { client: *client, home }
            }
            SpiffeSubject::Module { .. } => Caller::Anonymous,
        };
        Ok(Authenticated { caller, kind })
    }

    fn is_pinned_for(&self, identity: &PeerIdentity, service: &str) -> bool {
        service == KEY_PINNED_SERVICE
            && matches!(identity.spiffe.subject, SpiffeSubject::Registry(_))
            && self.pinned.contains(&identity.spki_hash)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{AccountId, BanSubject, ClientId, Home, NodeId, UnixMs};

    use super::*;
    use crate::testing::{NOT_AFTER, TRUST_DOMAIN, identity, peer};

    const SERVICE: &str = "holdfast.registry.v1.Directory";

    fn at(now: UnixMs, pinned: PinnedPeers, bans: &BanList) -> Authenticator {
        let clock = Clock::new(move || now);
        Authenticator::new(TRUST_DOMAIN.parse().unwrap(), bans.clone(), pinned, clock)
    }

    #[test]
    fn each_subject_becomes_its_caller() {
        let authn = at(UnixMs(0), PinnedPeers::none(), &BanList::new());
        let node = NodeId::new([1; 16]);
        let home = Home { account: AccountId::new([2; 16]), quota_bytes: 7 };
        let client = ClientId::new([3; 16]);
        let caller = |subject, home| {
            authn
                .authenticate(&peer(Some(identity(subject, home))), SERVICE)
                .map(|all| (all.caller, all.kind))
        };
        assert_eq!(
            caller(SpiffeSubject::Client(client), Some(home)),
            Ok((Caller::Client { client, home }, CallerKind::Client))
        );
        assert_eq!(
            caller(SpiffeSubject::Client(client), None),
            Err(Rejected::Refused(Reason::Unauthenticated))
        );
        assert_eq!(caller(SpiffeSubject::Node(node), None), Ok((Caller::Node(node), CallerKind::Node)));
        assert_eq!(
            caller(SpiffeSubject::Registry(node), None),
            Ok((Caller::Registry(node), CallerKind::Registry))
        );
        let module = SpiffeSubject::Module { name: "m".parse().unwrap(), instance: "1".parse().unwrap() };
        assert_eq!(caller(module, None), Ok((Caller::Anonymous, CallerKind::Module)));
        assert_eq!(authn.authenticate(&peer(None), SERVICE).unwrap().kind, CallerKind::Anonymous);
    }

    #[test]
    fn expiry_is_checked_per_request_and_pinned_keys_outlive_it_for_raft_only() {
        let voter = identity(SpiffeSubject::Registry(NodeId::new([1; 16])), None);
        let pinned = PinnedPeers::new([voter.spki_hash].into());
        let voter = peer(Some(voter));
        let expired = Err(Rejected::AsAnonymous(Reason::IdentityExpired));
        let before = at(UnixMs(NOT_AFTER.0 - 1), PinnedPeers::none(), &BanList::new());
        assert!(before.authenticate(&voter, SERVICE).is_ok());
        let after = at(NOT_AFTER, PinnedPeers::none(), &BanList::new());
        assert_eq!(after.authenticate(&voter, SERVICE), expired);
        assert_eq!(after.authenticate(&voter, KEY_PINNED_SERVICE), expired);
        let after = at(NOT_AFTER, pinned, &BanList::new());
        assert_eq!(after.authenticate(&voter, SERVICE), expired);
        assert!(after.authenticate(&voter, KEY_PINNED_SERVICE).is_ok());
    }

    #[test]
    fn a_server_whose_own_leaf_is_over_serves_pinned_voters_alone() {
        let cluster = holdfast_certs::testing::TestCluster::fresh().unwrap();
        let own = cluster.node(NodeId::new([7; 16])).unwrap();
        let voter = identity(SpiffeSubject::Registry(NodeId::new([1; 16])), None);
        let pinned = PinnedPeers::new([voter.spki_hash].into());
        let caller = peer(Some(identity(SpiffeSubject::Node(NodeId::new([2; 16])), None)));
        let end = own.current().not_after();
        let before = at(UnixMs(end.0 - 1), pinned.clone(), &BanList::new()).showing(own.clone());
        assert!(before.authenticate(&caller, SERVICE).is_ok());
        let after = at(end, pinned, &BanList::new()).showing(own);
        let over = Err(Rejected::AsAnonymous(Reason::NotReady));
        assert_eq!(after.authenticate(&caller, SERVICE), over);
        assert_eq!(after.authenticate(&peer(Some(voter.clone())), SERVICE), over);
        assert!(after.authenticate(&peer(Some(voter)), KEY_PINNED_SERVICE).is_ok());
        assert!(after.authenticate(&peer(None), SERVICE).is_ok(), "public methods go on");
    }

    #[test]
    fn a_ban_takes_effect_on_the_next_request() {
        let bans = BanList::new();
        let authn = at(UnixMs(0), PinnedPeers::none(), &bans);
        let id = NodeId::new([1; 16]);
        let node = peer(Some(identity(SpiffeSubject::Node(id), None)));
        assert!(authn.authenticate(&node, SERVICE).is_ok());
        bans.replace([BanSubject::Node(id)].into()).unwrap();
        assert_eq!(authn.authenticate(&node, SERVICE), Err(Rejected::Refused(Reason::Banned)));
    }

    #[test]
    fn an_identity_of_another_trust_domain_is_refused() {
        let authn = at(UnixMs(0), PinnedPeers::none(), &BanList::new());
        let mut stranger = identity(SpiffeSubject::Node(NodeId::new([1; 16])), None);
        stranger.spiffe.trust_domain = "elsewhere".parse().unwrap();
        assert_eq!(
            authn.authenticate(&peer(Some(stranger)), SERVICE),
            Err(Rejected::Refused(Reason::WrongCluster))
        );
    }
}
