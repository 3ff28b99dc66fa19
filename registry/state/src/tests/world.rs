//! A small cluster with real keys: two operators who must both sign, a founder, and machines.

use std::sync::LazyLock;

use holdfast_domain::{
    Admission, Attested, ChallengeId, ClusterId, CredentialBlob, EkHash, Genesis, GroupDescriptor, GroupId,
    InvitePublic, JoinEvidence, Kcv, KeyGeneration, KeySubject, NodeId, NodeRole, OperatorKey,
    OperatorRequest, P256Point, PcrApproval, PcrSelection, PcrValue, PolicyEpoch, Reason, RecoveryKey,
    ReplicaId, ReplicaState, RequestSerial, RootHash, ShardMap, Signature64, Signed, SignedAdmission,
    SpiffeSubject, SpkiHash, TicketProof, TicketPublic, TpmClass, TpmPolicy, UnixMs, WrapRow, WrapTarget,
    WrappedBlob, codec,
};
use holdfast_keys::{Signer as _, SoftSigner, labels, sign};
use holdfast_tpm_verify::approval::approval_message;

use crate::{
    Act, Applied, Command, Found, Joining, MapChange, Observed, Outcome, Planned, PutMap, State, TpmClock,
    placement, plan,
};

pub(super) const CLUSTER: ClusterId = ClusterId::new([7; 16]);
pub(super) const START: UnixMs = UnixMs(1_000_000);
pub(super) const HOUR: u64 = 3_600_000;

/// Keys are made once: many small worlds share them.
pub(super) struct Keys {
    pub(super) ann: SoftSigner,
    pub(super) bob: SoftSigner,
    pub(super) policy: SoftSigner,
    pub(super) map: SoftSigner,
    machines: Vec<SoftSigner>,
}

pub(super) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    ann: SoftSigner::generate().unwrap(),
    bob: SoftSigner::generate().unwrap(),
    policy: SoftSigner::generate().unwrap(),
    map: SoftSigner::generate().unwrap(),
    machines: (0..8).map(|_| SoftSigner::generate().unwrap()).collect(),
});

pub(super) fn operators() -> Vec<OperatorKey> {
    let operator = |name: &str, key: &SoftSigner| OperatorKey {
        name: name.parse().unwrap(),
        key: key.public().to_point(),
    };
    vec![operator("ann", &KEYS.ann), operator("bob", &KEYS.bob)]
}

/// A machine; 0 is the founder.
#[derive(Clone, Copy)]
pub(super) struct Machine(pub(super) u8);

pub(super) const FOUNDER: Machine = Machine(0);

impl Machine {
    fn ek_spki(self) -> Vec<u8> {
        vec![b'e', b'k', self.0]
    }

    pub(super) fn ek(self) -> EkHash {
        EkHash::of_spki(&self.ek_spki())
    }

    pub(super) fn node(self) -> NodeId {
        NodeId::derive(CLUSTER, &self.ek_spki())
    }

    pub(super) fn of(node: NodeId) -> Self {
        (0..8).map(Machine).find(|machine| machine.node() == node).unwrap()
    }

    pub(super) fn tls(self) -> &'static SoftSigner {
        &KEYS.machines[usize::from(self.0)]
    }

    pub(super) fn srk_name(self) -> Vec<u8> {
        vec![0, 11, self.0]
    }

    pub(super) fn joining(self, role: NodeRole, ticket: Option<TicketPublic>) -> Joining {
        let joining = Joining {
            node: self.node(),
            role,
            address: format!("10.0.0.{}:7100", self.0),
            ek: self.ek(),
            ek_spki: self.ek_spki(),
            ak_name: vec![0, 11, 100, self.0],
            srk_name: self.srk_name(),
            tls_key: self.tls().public().to_point(),
            listener: SpkiHash::new([self.0; 32]),
            class: TpmClass::Virtual,
            anchor: Some(RootHash::new([4; 32])),
            clock: TpmClock { reset: 1, restart: 0, clock: 1_000, safe: false },
            evidence: Vec::new(),
        };
        Joining { evidence: codec::encode(&evidence(role, ticket)).unwrap(), ..joining }
    }
}

pub(super) fn selection() -> PcrSelection {
    PcrSelection::try_from(vec![7]).unwrap()
}

pub(super) fn pcrs() -> Vec<PcrValue> {
    vec![PcrValue { index: 7, digest: [5; 32] }]
}

pub(super) fn evidence(role: NodeRole, ticket: Option<TicketPublic>) -> JoinEvidence {
    let attested = || Attested { attest: vec![1], signature: vec![2] };
    JoinEvidence {
        cluster: CLUSTER,
        challenge: ChallengeId::new([1; 16]),
        nonce: [2; 32],
        exporter: [3; 32],
        role,
        ek_public: vec![1],
        ek_certificate: None,
        ek_chain: Vec::new(),
        ak_public: vec![2],
        srk_public: vec![3],
        tls_public: vec![4],
        csr: vec![5],
        listener_csr: vec![6],
        selection: selection(),
        pcrs: pcrs(),
        certify_tls: attested(),
        certify_srk: attested(),
        quote: attested(),
        event_log: None,
        ticket: ticket.map(|ticket| TicketProof { ticket, signature: Signature64([0; 64]) }),
    }
}

pub(super) fn approval(role: NodeRole, epoch: u32) -> PcrApproval {
    let message = approval_message(CLUSTER, role, PolicyEpoch(epoch), &selection(), &pcrs()).unwrap();
    let signature = KEYS.policy.sign(&message).unwrap();
    PcrApproval { role, policy_epoch: PolicyEpoch(epoch), selection: selection(), pcrs: pcrs(), signature }
}

pub(super) fn wrap(
    subject: KeySubject,
    generation: u32,
    by: Machine,
    to: Option<Machine>,
    kcv: u8,
) -> Signed<WrapRow> {
    let target = match to {
        None => WrapTarget::Recovery { sealed: vec![1, 2, 3] },
        Some(machine) => WrapTarget::Tpm {
            node: machine.node(),
            srk_name: machine.srk_name(),
            blob: WrappedBlob {
                credential: CredentialBlob { id_object: vec![1], enc_secret: vec![2] },
                sealed: vec![3],
            },
        },
    };
    let row = WrapRow {
        cluster: CLUSTER,
        subject,
        generation: KeyGeneration(generation),
        target,
        kcv: Kcv::new([kcv; 16]),
        by: by.node(),
    };
    sign::sign_value(by.tls(), labels::WRAP_ROW, &row).unwrap()
}

pub(super) fn found() -> Found {
    let point = |key: &SoftSigner| -> P256Point { key.public().to_point() };
    let root_der = b"root certificate".to_vec();
    let genesis = Genesis {
        cluster: CLUSTER,
        trust_domain: "test.example".parse().unwrap(),
        created: START,
        root: RootHash::of_der(&root_der),
        founder: FOUNDER.node(),
        tpm_policy: TpmPolicy::AdmitsVirtual,
        ek_roots: Vec::new(),
        pcr_selection: selection(),
        pcr_policy_key: point(&KEYS.policy),
        recovery: RecoveryKey::new([9; 32]),
        recovery_threshold: 3,
        recovery_shares: 5,
        operators: operators(),
        operator_threshold: 2,
        map_key: point(&KEYS.map),
    };
    Found {
        genesis: Signed::from_parts(codec::encode(&genesis).unwrap(), Signature64([1; 64])),
        root_der,
        sealed_root_key: vec![1; 40],
        sealed_secrets: vec![2; 40],
        approvals: vec![approval(NodeRole::Registry, 0), approval(NodeRole::Node, 0)],
        founder: FOUNDER.joining(NodeRole::Registry, None),
        replica: ReplicaId(1),
        spki: SpkiHash::new([1; 32]),
        wraps: vec![
            wrap(KeySubject::Crk, 1, FOUNDER, Some(FOUNDER), 1),
            wrap(KeySubject::Crk, 1, FOUNDER, None, 1),
        ],
    }
}

/// A state with the means to change it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) now: UnixMs,
    serial: u64,
    /// Every command so far, as bytes.
    pub(super) log: Vec<Vec<u8>>,
}

impl World {
    pub(super) fn empty() -> Self {
        Self { state: State::default(), now: START, serial: 0, log: Vec::new() }
    }

    pub(super) fn founded() -> Self {
        let mut world = Self::empty();
        assert_eq!(world.act(Act::Found(Box::new(found()))), Ok(Applied::Done));
        world
    }

    pub(super) fn voter() -> SpiffeSubject {
        SpiffeSubject::Registry(FOUNDER.node())
    }

    pub(super) fn act(&mut self, act: Act) -> Result<Applied, Reason> {
        self.act_by(Self::voter(), act)
    }

    pub(super) fn act_by(&mut self, by: SpiffeSubject, act: Act) -> Result<Applied, Reason> {
        let command = Command { now: self.now, by, act };
        let bytes = command.encode().unwrap();
        let index = (u64::try_from(self.log.len()).unwrap() + 1) << 10;
        let outcome = self.state.apply(index, Command::decode(&bytes).unwrap());
        self.log.push(bytes);
        self.state.check().unwrap();
        Outcome::decode(&outcome.encode().unwrap()).unwrap().into_result()
    }

    pub(super) fn request(&mut self, request: OperatorRequest) -> Admission {
        self.serial += 1;
        let mut serial = [0; 16];
        serial[..8].copy_from_slice(&self.serial.to_be_bytes());
        Admission {
            cluster: CLUSTER,
            set: self.state.operator_set(),
            serial: RequestSerial::new(serial),
            issued: self.now,
            expires: self.now.plus_ms(HOUR),
            request,
        }
    }

    pub(super) fn ask(&mut self, request: OperatorRequest) -> Result<Applied, Reason> {
        let admission = self.request(request);
        self.act(Act::Admit(signed(&admission, &[("ann", &KEYS.ann), ("bob", &KEYS.bob)])))
    }

    pub(super) fn join(&mut self, machine: Machine, role: NodeRole) -> Result<Applied, Reason> {
        self.act(Act::Join(Box::new(machine.joining(role, None))))
    }

    pub(super) fn allow_and_join(&mut self, machine: Machine, role: NodeRole) {
        self.ask(OperatorRequest::AllowEk { ek: machine.ek(), role }).unwrap();
        self.join(machine, role).unwrap();
    }

    pub(super) fn ticket(&mut self, id: u8, role: NodeRole) -> TicketPublic {
        let ticket = TicketPublic::new([id; 32]);
        let expires = self.now.plus_ms(HOUR);
        self.ask(OperatorRequest::IssueTicket { ticket, role, expires }).unwrap();
        ticket
    }

    pub(super) fn invite(&mut self, id: u8) -> InvitePublic {
        let invite = InvitePublic::new([id; 32]);
        let expires = self.now.plus_ms(HOUR);
        self.ask(OperatorRequest::Invite { invite, quota_bytes: 1_000, expires }).unwrap();
        invite
    }

    pub(super) fn put(&mut self, by: SpiffeSubject, planned: Planned) -> Result<Applied, Reason> {
        let Planned { expected, change, map } = planned;
        let map = sign::sign_value(&KEYS.map, labels::SHARD_MAP, &map).unwrap();
        self.act_by(by, Act::PutMap(PutMap { expected, change, map }))
    }

    pub(super) fn map(&self) -> &ShardMap {
        self.state.map().unwrap().1
    }

    /// Machines 1 to `count` are nodes.
    pub(super) fn nodes(count: u8) -> Self {
        let mut world = Self::founded();
        (1..=count).for_each(|id| world.allow_and_join(Machine(id), NodeRole::Node));
        world
    }

    /// Group 1 and 2 founded on machines 1 and 2.
    pub(super) fn with_groups() -> Self {
        let mut world = Self::nodes(2);
        world.put(operator("ann"), plan::plan_groups(&world.state, 2, 1).unwrap()).unwrap();
        world.settle();
        world
    }

    /// Groups of three replicas each on as many nodes, at rest.
    pub(super) fn replicated(nodes: u8, groups: u32) -> Self {
        let mut world = Self::nodes(nodes);
        world.put(operator("ann"), plan::plan_groups(&world.state, groups, 3).unwrap()).unwrap();
        world.settle();
        world
    }

    /// Everybody is alive.
    pub(super) fn observed(&self) -> Observed {
        Observed { alive: (1..8).map(|id| Machine(id).node()).collect(), ..Observed::default() }
    }

    /// Placement and nodes do what there is to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            let next = placement::next(&self.state, &self.observed());
            let placed = next.map(|change| plan::plan(&self.state, change).unwrap());
            let done = placed.map(|planned| self.put(Self::voter(), planned).unwrap()).is_some();
            if !self.node_step() && !done {
                return;
            }
        }
        panic!("never at rest: {:?}", self.map());
    }

    /// What the leader of the first group that has anything to do does next.
    pub(super) fn node_step(&mut self) -> bool {
        let groups = self.map().groups.clone();
        groups.iter().any(|group| self.group_step(group))
    }

    pub(super) fn group_step(&mut self, group: &GroupDescriptor) -> bool {
        let (id, dmk) = (group.group, KeySubject::Dmk(group.group));
        let leader = group
            .voters()
            .next()
            .or_else(|| group.replicas.iter().find(|r| r.state == ReplicaState::Founding));
        let Some((leader, by)) = leader.map(|leader| (Machine::of(leader.node), leader.replica)) else {
            return false;
        };
        for replica in &group.replicas {
            let target = Machine::of(replica.node);
            let change = match replica.state {
                ReplicaState::Founding => {
                    let rows = vec![wrap(dmk, 1, target, Some(target), 3), wrap(dmk, 1, target, None, 3)];
                    if self.act_by(node(target), Act::PutWraps(rows)).is_err() {
                        return false;
                    }
                    MapChange::Founded { group: id, replica: replica.replica }
                }
                ReplicaState::Learner if group.is_new() => continue,
                ReplicaState::Learner => {
                    let generation = self.state.generation(dmk).unwrap();
                    let kcv = if generation.0 == 1 { 3 } else { 4 };
                    let _ = self.act(Act::PutWraps(vec![wrap(dmk, generation.0, leader, Some(target), kcv)]));
                    MapChange::Promoted { group: id, by, replica: replica.replica }
                }
                ReplicaState::Leaving => MapChange::Removed { group: id, by, replica: replica.replica },
                ReplicaState::Voter => continue,
            };
            let by = if replica.state == ReplicaState::Founding { target } else { leader };
            let planned = plan::plan(&self.state, change);
            return planned.is_ok_and(|planned| self.put(node(by), planned).is_ok());
        }
        false
    }

    /// The first replica that votes.
    pub(super) fn holder(&self, group: GroupId) -> (Machine, ReplicaId) {
        let group = self.map().group(group).unwrap();
        let replica = group.voters().next().unwrap_or(&group.replicas[0]);
        (Machine::of(replica.node), replica.replica)
    }

    /// Of machines 1 and 2 the one without a replica of the group.
    pub(super) fn other(&self, group: GroupId) -> Machine {
        let group = self.map().group(group).unwrap();
        [Machine(1), Machine(2)].into_iter().find(|machine| group.on(machine.node()).is_none()).unwrap()
    }

    /// Moves a group's only replica.
    pub(super) fn move_to(&mut self, group: GroupId, target: Machine) {
        let planned = plan::plan_move(&self.state, group, None, target.node()).unwrap().unwrap();
        self.put(operator("ann"), planned).unwrap();
        while !self.map().group(group).unwrap().is_settled() {
            let descriptor = self.map().group(group).unwrap().clone();
            assert!(self.group_step(&descriptor));
        }
    }
}

pub(super) fn node(machine: Machine) -> SpiffeSubject {
    SpiffeSubject::Node(machine.node())
}

pub(super) fn operator(name: &str) -> SpiffeSubject {
    SpiffeSubject::Operator(name.parse().unwrap())
}

pub(super) fn signed(admission: &Admission, by: &[(&str, &SoftSigner)]) -> SignedAdmission {
    let bytes = codec::encode(admission).unwrap();
    let sign = |(name, key): &(&str, &SoftSigner)| {
        (name.parse().unwrap(), sign::sign_labelled(*key, labels::ADMISSION, &bytes).unwrap())
    };
    SignedAdmission { signatures: by.iter().map(sign).collect(), bytes }
}

/// A map change that nobody planned.
pub(super) fn unplanned(change: MapChange, map: ShardMap) -> Planned {
    Planned { expected: holdfast_domain::MapEpoch(map.epoch.0 - 1), change, map }
}
