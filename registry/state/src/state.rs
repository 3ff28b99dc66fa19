//! The replicated state, and `apply`.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{
    AccountId, BanSubject, ClientId, EkHash, Genesis, InvitePublic, KeyGeneration, KeySubject, Lineage,
    MapEpoch, NodeId, OperatorKey, PcrApproval, PendingId, PolicyEpoch, Reason, ReplicaId, RequestSerial,
    ShardMap, Signed, SignedAdmission, SpiffeSubject, TicketPublic, UnixMs, WrapRow,
};
use serde::{Deserialize, Serialize};

use crate::{
    audit::AuditLog,
    command::{Act, Command},
    member::{Allowed, Client, Invite, Member, PendingJoin, Ticket, Voter},
    outcome::{Applied, Outcome},
    people::{AccountState, People},
    shards::Shards,
    wraps::Recipient,
};

/// What was fixed when the cluster began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founded {
    /// The genesis record, decoded.
    pub genesis: Genesis,
    /// The same, as the root signed it.
    pub signed: Signed<Genesis>,
    /// The root certificate.
    pub root_der: Vec<u8>,
    /// The root's private key, sealed to the officers.
    pub sealed_root_key: Vec<u8>,
    /// Number of the trust bundle.
    pub bundle_sequence: u64,
}

/// The registry.
///
/// Fields are private to the crate: the only way to change them is [`State::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) founded: Option<Founded>,
    /// Number of the last command.
    pub(crate) index: u64,
    /// Greatest time that a command carried.
    pub(crate) clock: UnixMs,
    pub(crate) next_replica: u64,
    pub(crate) operators: Vec<OperatorKey>,
    pub(crate) operator_threshold: u8,
    /// Every change of the operators, in order: whoever starts at the genesis record can follow it.
    pub(crate) operator_chain: Vec<SignedAdmission>,
    pub(crate) serials: BTreeMap<RequestSerial, UnixMs>,
    pub(crate) secrets_generation: KeyGeneration,
    pub(crate) sealed_secrets: Vec<u8>,
    pub(crate) members: BTreeMap<NodeId, Member>,
    pub(crate) allowed: BTreeMap<EkHash, Allowed>,
    pub(crate) tickets: BTreeMap<TicketPublic, Ticket>,
    pub(crate) pending: BTreeMap<PendingId, PendingJoin>,
    pub(crate) policy_epoch: PolicyEpoch,
    pub(crate) approvals: Vec<PcrApproval>,
    pub(crate) bans: BTreeSet<BanSubject>,
    pub(crate) invites: BTreeMap<InvitePublic, Invite>,
    /// Quotas in bytes.
    pub(crate) accounts: BTreeMap<AccountId, u64>,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    pub(crate) people: People,
    /// Keys of each account; follows from `clients`.
    #[serde(skip)]
    pub(crate) devices: BTreeMap<AccountId, BTreeSet<ClientId>>,
    pub(crate) voters: BTreeMap<NodeId, Voter>,
    pub(crate) lineage: Lineage,
    pub(crate) map: Option<(Signed<ShardMap>, ShardMap)>,
    pub(crate) shards: Shards,
    pub(crate) wraps: BTreeMap<(KeySubject, KeyGeneration, Recipient), Signed<WrapRow>>,
    pub(crate) audit: AuditLog,
}

impl State {
    /// Applies one command. `index` grows from command to command and is the same on every voter.
    pub fn apply(&mut self, index: u64, command: Command) -> Outcome {
        let Command { now, by, act } = command;
        self.index = self.index.max(index);
        self.clock = self.clock.max(now);
        self.dispatch(&by, act).into()
    }

    fn dispatch(&mut self, by: &SpiffeSubject, act: Act) -> Result<Applied, Reason> {
        if let Act::Found(found) = act {
            return self.found(*found);
        }
        if self.founded.is_none() {
            return Err(Reason::NotReady);
        }
        if self.is_banned(by) {
            return Err(Reason::Banned);
        }
        match act {
            Act::Found(_) => Err(Reason::Conflict),
            Act::Admit(admission) => self.admit(admission),
            Act::Join(joining) => self.join(*joining),
            Act::JoinPending { pending, joining } => self.join_pending(pending, *joining),
            Act::Renew(renewal) => self.renew(renewal),
            Act::VoterAdded { node, replica, address, spki } => {
                self.voter_added(node, replica, address, spki)
            }
            Act::PromoteVoter(node) => self.promote_voter(by, node),
            Act::VoterPromoted(node) => self.voter_promoted(node),
            Act::VoterRemoved(node) => self.voter_removed(node),
            Act::RegisterClient(client) => self.register_client(client),
            Act::PutWraps(rows) => self.put_wraps(rows),
            Act::PutMap(put) => self.put_map(by, put),
            Act::Dropped { group, replica } => self.dropped(by, group, replica),
            Act::PutSecrets { generation, replaces, sealed } => {
                self.put_secrets(generation, replaces, sealed)
            }
            Act::Device(change) => self.change_device(by, change),
            Act::Account(change) => self.change_account(by, change),
            Act::Describe { node, zone, demands_hardware } => self.describe(by, node, zone, demands_hardware),
            Act::Standing { node, change } => self.set_standing(by, node, change),
            Act::Floors(rows) => self.raise_floors(by, rows),
            Act::Rotated { group, replica, generation } => self.rotated(by, group, replica, generation),
        }
    }

    /// Whether an identity is banned: itself, or the account of a client.
    pub fn is_banned(&self, subject: &SpiffeSubject) -> bool {
        match subject {
            SpiffeSubject::Registry(node) | SpiffeSubject::Node(node) => self.node_banned(*node),
            SpiffeSubject::Operator(name) => self.bans.contains(&BanSubject::Operator(name.clone())),
            SpiffeSubject::Client(client) => {
                let account = self.clients.get(client).map(|client| client.account);
                self.bans.contains(&BanSubject::Client(*client))
                    || self.people.revoked.contains_key(client)
                    || account.is_some_and(|account| {
                        self.bans.contains(&BanSubject::Account(account))
                            || self.account_state(account) != AccountState::Active
                    })
            }
            SpiffeSubject::Module { .. } => false,
        }
    }

    pub(crate) fn node_banned(&self, node: NodeId) -> bool {
        self.bans.contains(&BanSubject::Node(node))
    }

    pub(crate) fn founded_or_refuse(&self) -> Result<&Founded, Reason> {
        self.founded.as_ref().ok_or(Reason::NotReady)
    }

    /// A Raft id that was never given out, not below the log's own numbers.
    pub(crate) fn draw_replica(&mut self) -> ReplicaId {
        let id = self.next_replica.max(self.index);
        self.next_replica = id.saturating_add(1);
        ReplicaId(id)
    }

    pub(crate) fn record(&mut self, what: String) {
        self.audit.push(self.index, self.clock, what);
    }

    /// Epoch of the map in force; 0 before the first.
    pub fn map_epoch(&self) -> MapEpoch {
        self.map.as_ref().map_or(MapEpoch(0), |(_, map)| map.epoch)
    }
}
