//! Issuing leaves from the opened authorities: whose key, as whom, for how long.

use holdfast_certs::{Authority, AuthorityKind, CertChain, IssueError, LeafRequest, SubjectKey};
use holdfast_domain::{ClientId, Home, NodeId, NodeRole, OperatorName, SpiffeSubject, UnixMs};
use holdfast_keys::ClientPublic;

/// Life of a machine's leaves: renewed at half of it, with a fresh quote.
pub const MACHINE_LEAF_MS: u64 = 60 * 60 * 1000;
/// Life of a client's leaf: a day without the registry costs nobody their files.
pub const CLIENT_LEAF_MS: u64 = 24 * 60 * 60 * 1000;
// Whoever is barred stays so until his last leaf has ended.
const _: () =
    assert!(CLIENT_LEAF_MS < holdfast_registry_state::limits::LAST_LEAF_MS, "leaves outlive what bars them");
/// Life of an operator's leaf.
pub const OPERATOR_LEAF_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Both authorities, opened.
pub struct Authorities {
    registry: Authority,
    workload: Authority,
}

/// Two authorities that are not one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one registry authority and one workload authority")]
pub struct WrongKinds;

/// An issued leaf with its chain.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Leaf and authority.
    pub chain: CertChain,
    /// When to ask for the next: at half of its life.
    pub renew_after: UnixMs,
    /// End of its validity.
    pub not_after: UnixMs,
}

impl Authorities {
    /// Takes one authority of each kind.
    ///
    /// # Errors
    /// [`WrongKinds`].
    pub fn new(registry: Authority, workload: Authority) -> Result<Self, WrongKinds> {
        match (registry.kind(), workload.kind()) {
            (AuthorityKind::Registry, AuthorityKind::Workload) => Ok(Self { registry, workload }),
            _ => Err(WrongKinds),
        }
    }

    /// The registry's and everybody else's authority.
    pub fn both(&self) -> (&Authority, &Authority) {
        (&self.registry, &self.workload)
    }

    /// A leaf for a machine: its TPM's key or its listener's.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn machine(
        &self,
        role: NodeRole,
        node: NodeId,
        key: impl Into<SubjectKey>,
        now: UnixMs,
    ) -> Result<Leaf, IssueError> {
        self.issue(machine_subject(role, node), key.into(), now, MACHINE_LEAF_MS, None)
    }

    /// A leaf for a client, which carries its account.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn client(
        &self,
        client: ClientId,
        home: Home,
        key: ClientPublic,
        now: UnixMs,
        ends: Option<UnixMs>,
    ) -> Result<Leaf, IssueError> {
        let life = ends.map_or(CLIENT_LEAF_MS, |ends| ends.since(now).min(CLIENT_LEAF_MS));
        self.issue(SpiffeSubject::Client(client), key.into(), now, life, Some(home))
    }

    /// A leaf for an operator.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn operator(&self, name: OperatorName, key: SubjectKey, now: UnixMs) -> Result<Leaf, IssueError> {
        self.issue(SpiffeSubject::Operator(name), key, now, OPERATOR_LEAF_MS, None)
    }

    fn issue(
        &self,
        subject: SpiffeSubject,
        key: SubjectKey,
        now: UnixMs,
        life_ms: u64,
        home: Option<Home>,
    ) -> Result<Leaf, IssueError> {
        let authority = match subject {
            SpiffeSubject::Registry(_) => &self.registry,
            _ => &self.workload,
        };
        let not_after = now.plus_ms(life_ms);
        let chain = authority.issue(&LeafRequest { subject, key, now, not_after, home })?;
        Ok(Leaf { chain, renew_after: now.plus_ms(life_ms / 2), not_after })
    }
}

/// The identity of a machine in a role.
pub fn machine_subject(role: NodeRole, node: NodeId) -> SpiffeSubject {
    match role {
        NodeRole::Registry => SpiffeSubject::Registry(node),
        NodeRole::Node => SpiffeSubject::Node(node),
    }
}
