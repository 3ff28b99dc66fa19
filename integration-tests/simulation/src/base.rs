//! The cluster that every run begins with: a registry with its founder, and nodes that joined. Keys are made once a process; nothing
//! in a run depends on their bytes.

use std::sync::LazyLock;

use holdfast_domain::{
    Admission, Attested, ChallengeId, ClusterId, CredentialBlob, EkHash, Genesis, GroupId, JoinEvidence, Kcv,
    KeyGeneration, KeySubject, NodeId, NodeRole, OperatorKey, OperatorRequest, PcrApproval, PcrSelection,
    PcrValue, PolicyEpoch, RecoveryKey, ReplicaId, RequestSerial, RootHash, Signature64, Signed,
    SignedAdmission, SpiffeSubject, SpkiHash, TpmClass, TpmPolicy, UnixMs, WrapRow, WrapTarget, WrappedBlob,
    codec,
};
use holdfast_keys::{Signer as _, SoftSigner, labels, sign};
use holdfast_registry_state::{Act, Command, Found, Joining, Outcome, State, TpmClock};
use holdfast_tpm_verify::approval::approval_message;

/// Nodes of the cluster.
pub const NODES: usize = 7;
const CLUSTER: ClusterId = ClusterId::new([7; 16]);
const START: UnixMs = UnixMs(1_000_000);

/// What runs start from.
pub struct Base {
    /// The registry's state with all nodes.
    pub state: State,
    /// Signs maps.
    pub map_key: SoftSigner,
    machines: Vec<SoftSigner>,
    policy: SoftSigner,
    ann: SoftSigner,
}

/// Made once.
pub static BASE: LazyLock<Base> = LazyLock::new(|| {
    let key = || SoftSigner::generate().expect("a key");
    let machines = (0..=NODES).map(|_| key()).collect();
    let mut base = Base { state: State::default(), map_key: key(), machines, policy: key(), ann: key() };
    let found = base.found();
    base.apply(Act::Found(Box::new(found)));
    for node in 0..NODES {
        let request =
            OperatorRequest::AllowEk { ek: EkHash::of_spki(&ek(machine(node))), role: NodeRole::Node };
        let admission = base.admission(request, node);
        base.apply(Act::Admit(admission));
        let joining = base.joining(machine(node), NodeRole::Node);
        base.apply(Act::Join(Box::new(joining)));
    }
    base
});

/// A node's identity.
pub fn node_id(node: usize) -> NodeId {
    NodeId::derive(CLUSTER, &ek(machine(node)))
}

/// A node by its identity.
pub fn node_of(id: NodeId) -> Option<usize> {
    (0..NODES).find(|node| node_id(*node) == id)
}

/// The registry, as the author of commands.
pub fn voter() -> SpiffeSubject {
    SpiffeSubject::Registry(NodeId::derive(CLUSTER, &ek(0)))
}

/// An operator.
pub fn operator() -> SpiffeSubject {
    SpiffeSubject::Operator("ann".parse().expect("a name"))
}

/// Machine 0 is the registry's.
const fn machine(node: usize) -> u8 {
    node as u8 + 1
}

fn ek(machine: u8) -> Vec<u8> {
    vec![b'e', b'k', machine]
}

fn srk(machine: u8) -> Vec<u8> {
    vec![0, 11, machine]
}

fn selection() -> PcrSelection {
    PcrSelection::try_from(vec![7]).expect("one register")
}

fn pcrs() -> Vec<PcrValue> {
    vec![PcrValue { index: 7, digest: [5; 32] }]
}

impl Base {
    fn apply(&mut self, act: Act) {
        let index = self.state.index() + 1;
        let command = Command { now: START, by: voter(), act };
        let outcome = self.state.apply(index, command);
        assert!(matches!(outcome, Outcome::Applied(_)), "the base cluster: {outcome:?}");
    }

    /// A group's key of a generation, wrapped by a node to another or to the officers.
    pub fn wrap(&self, group: GroupId, generation: u32, by: usize, to: Option<usize>) -> Signed<WrapRow> {
        self.wrap_row(KeySubject::Dmk(group), generation, machine(by), to.map(machine))
    }

    fn wrap_row(&self, subject: KeySubject, generation: u32, by: u8, to: Option<u8>) -> Signed<WrapRow> {
        let id = |machine| NodeId::derive(CLUSTER, &ek(machine));
        let target = match to {
            None => WrapTarget::Recovery { sealed: vec![1, 2, 3] },
            Some(to) => WrapTarget::Tpm {
                node: id(to),
                srk_name: srk(to),
                blob: WrappedBlob {
                    credential: CredentialBlob { id_object: vec![1], enc_secret: vec![2] },
                    sealed: vec![3],
                },
            },
        };
        let kcv = Kcv::new([generation as u8; 16]);
        let generation = KeyGeneration(generation);
        let row = WrapRow { cluster: CLUSTER, subject, generation, target, kcv, by: id(by) };
        sign::sign_value(&self.machines[usize::from(by)], labels::WRAP_ROW, &row).expect("a signature")
    }

    fn joining(&self, machine: u8, role: NodeRole) -> Joining {
        let attested = || Attested { attest: vec![1], signature: vec![2] };
        let evidence = JoinEvidence {
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
            ticket: None,
        };
        Joining {
            node: NodeId::derive(CLUSTER, &ek(machine)),
            role,
            address: format!("10.0.0.{machine}:7100"),
            ek: EkHash::of_spki(&ek(machine)),
            ek_spki: ek(machine),
            ak_name: vec![0, 11, 100, machine],
            srk_name: srk(machine),
            tls_key: self.machines[usize::from(machine)].public().to_point(),
            listener: SpkiHash::new([machine; 32]),
            class: TpmClass::Virtual,
            anchor: Some(RootHash::new([4; 32])),
            clock: TpmClock { reset: 1, restart: 0, clock: 1_000, safe: false },
            evidence: codec::encode(&evidence).expect("evidence"),
        }
    }

    fn approval(&self, role: NodeRole) -> PcrApproval {
        let message =
            approval_message(CLUSTER, role, PolicyEpoch(0), &selection(), &pcrs()).expect("a message");
        let signature = self.policy.sign(&message).expect("a signature");
        PcrApproval { role, policy_epoch: PolicyEpoch(0), selection: selection(), pcrs: pcrs(), signature }
    }

    fn found(&self) -> Found {
        let root_der = b"root certificate".to_vec();
        let genesis = Genesis {
            cluster: CLUSTER,
            trust_domain: "simulation.example".parse().expect("a domain"),
            created: START,
            root: RootHash::of_der(&root_der),
            founder: NodeId::derive(CLUSTER, &ek(0)),
            tpm_policy: TpmPolicy::AdmitsVirtual,
            ek_roots: Vec::new(),
            pcr_selection: selection(),
            pcr_policy_key: self.policy.public().to_point(),
            recovery: RecoveryKey::new([9; 32]),
            recovery_threshold: 3,
            recovery_shares: 5,
            operators: vec![OperatorKey {
                name: "ann".parse().expect("a name"),
                key: self.ann.public().to_point(),
            }],
            operator_threshold: 1,
            map_key: self.map_key.public().to_point(),
        };
        Found {
            genesis: Signed::from_parts(codec::encode(&genesis).expect("genesis"), Signature64([1; 64])),
            root_der,
            sealed_root_key: vec![1; 40],
            sealed_secrets: vec![2; 40],
            approvals: vec![self.approval(NodeRole::Registry), self.approval(NodeRole::Node)],
            founder: self.joining(0, NodeRole::Registry),
            replica: ReplicaId(1),
            spki: SpkiHash::new([1; 32]),
            wraps: [Some(0), None].map(|to| self.wrap_row(KeySubject::Crk, 1, 0, to)).to_vec(),
        }
    }

    fn admission(&self, request: OperatorRequest, serial: usize) -> SignedAdmission {
        let admission = Admission {
            cluster: CLUSTER,
            set: 0,
            serial: RequestSerial::new([serial as u8; 16]),
            issued: START,
            expires: START.plus_ms(3_600_000),
            request,
        };
        let bytes = codec::encode(&admission).expect("an admission");
        let signature = sign::sign_labelled(&self.ann, labels::ADMISSION, &bytes).expect("a signature");
        SignedAdmission { signatures: vec![("ann".parse().expect("a name"), signature)], bytes }
    }
}
