//! A founded cluster with one voter, its log replaced by applying at once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use holdfast_certs::{
    CertChain, Exporter, Peer, PeerIdentity, Purpose, TrustBundle, testing::TestCluster, verify_chain,
};
use holdfast_consensus as consensus;
use holdfast_domain::{
    Admission, ChallengeId, ClusterId, Genesis, KeyGeneration, KeySubject, NodeRole, OperatorKey,
    OperatorRequest, PcrApproval, PcrSelection, PcrValue, PolicyEpoch, Reason, RecoveryKey, ReplicaId,
    RequestSerial, SignedAdmission, SpiffeSubject, SpkiHash, TpmPolicy, UnixMs, WrapRow, WrapTarget, codec,
};
use holdfast_keys::{Crk, Secret32, SignError, Signer, SoftSigner, labels, sign};
use holdfast_proto::registry::v1::join_reply;
use holdfast_registry_state::{Act, Applied, Command, Found, plan};
use holdfast_sys_core::{Caller, Clock, Refusal, server::Stopping};
use holdfast_tpm_verify::{VerifyContext, approval::approval_message, join};
use tonic::Request;

use super::{
    ek_maker::EkMaker,
    machine::{Ask, EXPORTER, Machine},
};
use crate::{
    authority::Authorities,
    cluster::Cluster,
    core::{Core, CoreParts, Log, Secrets},
    services::enrolment::{EnrolmentService, testing::joining},
    state_host::StateHost,
};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([7; 16]);
pub(crate) const START: UnixMs = UnixMs(1_800_000_000_000);
pub(crate) const HOUR: u64 = 3_600_000;
/// Of the approved boot state.
pub(crate) const PCR: [u8; 32] = [5; 32];
const CRK: [u8; 32] = [6; 32];

pub(crate) struct World {
    pub(crate) core: Arc<Core>,
    pub(crate) enrolment: EnrolmentService,
    pub(crate) maker: EkMaker,
    pub(crate) bundle: TrustBundle,
    secrets: Mutex<Option<Secrets>>,
    now: Arc<AtomicU64>,
    ann: SoftSigner,
    serial: AtomicU64,
    cut_off: Arc<AtomicBool>,
}

/// Applies at once.
struct AtOnce {
    host: StateHost,
    cut_off: Arc<AtomicBool>,
    index: Mutex<u64>,
}

#[tonic::async_trait]
impl Log for AtOnce {
    async fn propose(&self, command: Vec<u8>) -> Result<consensus::Applied, consensus::ProposeError> {
        let mut index = self.index.lock().unwrap();
        *index += 1;
        let command = Command::decode(&command).unwrap();
        let outcome = self.host.write(|state| state.apply(*index << 10, command));
        Ok(consensus::Applied { index: *index, result: outcome.encode().unwrap() })
    }

    async fn read_index(&self) -> Result<(), consensus::ReadError> {
        while self.cut_off.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn wait_applied(&self, _: u64) -> Result<(), consensus::WaitError> {
        Ok(())
    }
}

/// The founder's TPM signs its wraps.
struct TpmKey(Arc<Machine>);

impl Signer for TpmKey {
    fn public(&self) -> holdfast_keys::P256Public {
        self.0.tpm.tls_signer().public()
    }

    fn sign(&self, message: &[u8]) -> Result<holdfast_domain::Signature64, SignError> {
        self.0.tpm.tls_signer().sign(message)
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let world = Self::closed().await;
        world.open();
        world
    }

    /// A voter whose secrets are not open yet.
    pub(crate) async fn closed() -> Self {
        let TestCluster { root, registry, workload, now: _ } = TestCluster::new(CLUSTER, START).unwrap();
        let [ann, policy, map] = [(); 3].map(|()| SoftSigner::generate().unwrap());
        let (maker, founder) = (EkMaker::new(), Arc::new(Machine::of_no_known_maker()));
        let genesis = Genesis {
            cluster: CLUSTER,
            trust_domain: "test".parse().unwrap(),
            created: START,
            root: root.certificate().hash(),
            founder: founder.node(),
            tpm_policy: TpmPolicy::AdmitsVirtual,
            ek_roots: vec![maker.root()],
            pcr_selection: PcrSelection::try_from(vec![7]).unwrap(),
            pcr_policy_key: policy.public().to_point(),
            recovery: RecoveryKey::new([9; 32]),
            recovery_threshold: 3,
            recovery_shares: 5,
            operators: vec![OperatorKey { name: "ann".parse().unwrap(), key: ann.public().to_point() }],
            operator_threshold: 1,
            map_key: map.public().to_point(),
        };
        let cluster = Cluster::new(root.certificate().clone(), root.sign_genesis(&genesis).unwrap()).unwrap();
        let found = found(&cluster, &root, &founder, &policy);
        let (now, host) = (Arc::new(AtomicU64::new(START.0)), StateHost::default());
        let clock = Arc::clone(&now);
        let cut_off = Arc::new(AtomicBool::new(false));
        let log = AtOnce { host: host.clone(), cut_off: Arc::clone(&cut_off), index: Mutex::new(0) };
        let core = Arc::new(Core::new(CoreParts {
            me: founder.node(),
            cluster,
            log: Arc::new(log),
            host,
            signer: Arc::new(TpmKey(founder)),
            clock: Clock::new(move || UnixMs(clock.load(Ordering::Relaxed))),
            stopping: Stopping::default(),
        }));
        core.propose(core.myself(), Act::Found(Box::new(found))).await.unwrap();
        let secrets = Secrets {
            crk: Crk::from_bytes(CRK),
            generation: KeyGeneration(1),
            authorities: Authorities::new(registry, workload).unwrap(),
            map_key: map,
        };
        Self {
            enrolment: EnrolmentService::new(Arc::clone(&core)),
            core,
            maker,
            bundle: TrustBundle::of_root(root.certificate().clone(), 1),
            secrets: Mutex::new(Some(secrets)),
            now,
            ann,
            serial: AtomicU64::new(0),
            cut_off,
        }
    }

    /// Whether the other voters can be reached.
    pub(crate) fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.core.open(self.secrets.lock().unwrap().take().unwrap());
    }

    pub(crate) fn pass(&self, span_ms: u64) {
        self.now.fetch_add(span_ms, Ordering::Relaxed);
    }

    pub(crate) fn admission(&self, request: OperatorRequest) -> Admission {
        let mut serial = [0; 16];
        serial[..8].copy_from_slice(&self.serial.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let issued = self.core.now();
        let expires = issued.plus_ms(HOUR);
        let (set, serial) = (self.core.state().operator_set(), RequestSerial::new(serial));
        Admission { cluster: CLUSTER, set, serial, issued, expires, request }
    }

    /// An operators' request, signed and applied.
    pub(crate) async fn ask(&self, request: OperatorRequest) -> Result<Applied, Reason> {
        let bytes = codec::encode(&self.admission(request)).unwrap();
        let signature = sign::sign_labelled(&self.ann, labels::ADMISSION, &bytes).unwrap();
        self.submit(SignedAdmission { bytes, signatures: vec![("ann".parse().unwrap(), signature)] }).await
    }

    pub(crate) async fn submit(&self, admission: SignedAdmission) -> Result<Applied, Reason> {
        let by = SpiffeSubject::Operator("ann".parse().unwrap());
        self.core.propose(by, Act::Admit(admission)).await.map_err(|refusal| refusal.reason())
    }

    pub(crate) async fn allow(&self, machine: &Machine, role: NodeRole) {
        self.ask(OperatorRequest::AllowEk { ek: machine.ek(), role }).await.unwrap();
    }

    pub(crate) async fn ticket(&self, seed: &Secret32, role: NodeRole) {
        let ticket = holdfast_keys::ClientKey::from_seed(seed).public().into();
        let expires = self.core.now().plus_ms(HOUR);
        self.ask(OperatorRequest::IssueTicket { ticket, role, expires }).await.unwrap();
    }

    /// A machine that joined.
    pub(crate) async fn member(&self, role: NodeRole) -> Machine {
        let machine = Machine::new(self);
        self.allow(&machine, role).await;
        machine.granted(self, &Ask { role, ..Ask::default() }).await;
        machine
    }

    /// As many groups, founding on the nodes that joined.
    pub(crate) async fn create_groups(&self, count: u32) {
        self.core
            .change_map(&self.core.myself(), |state| plan::plan_groups(state, count, 1).map(Some))
            .await
            .unwrap();
    }

    /// Whom a chain of a grant certifies.
    pub(crate) fn certified(&self, chain: &[bytes::Bytes], purpose: Purpose) -> PeerIdentity {
        let ders = chain.iter().take(2).map(|der| der.to_vec()).collect();
        verify_chain(&self.bundle, &CertChain::from_ders(ders).unwrap(), purpose, self.core.now()).unwrap()
    }
}

/// What a founder's `init` proposes.
fn found(cluster: &Cluster, root: &holdfast_certs::RootCa, founder: &Machine, policy: &SoftSigner) -> Found {
    let evidence = founder.evidence(NodeRole::Registry, ChallengeId::new([1; 16]), [2; 32]);
    let context = VerifyContext::of_genesis(cluster.genesis(), cluster.ek_roots(), START);
    let attested = join::verify(&context, &evidence).unwrap();
    let wraps = [
        WrapTarget::Recovery { sealed: vec![1] },
        WrapTarget::Tpm {
            node: founder.node(),
            srk_name: attested.srk().name().as_bytes().to_vec(),
            blob: holdfast_tpm_verify::wrap::wrap_key(
                &attested.wrap_target(),
                &cluster.policy_key().sealing_policy(CLUSTER, NodeRole::Registry, PolicyEpoch(0)),
                &CRK,
            )
            .unwrap(),
        },
    ];
    let wrap = |target| WrapRow {
        cluster: CLUSTER,
        subject: KeySubject::Crk,
        generation: KeyGeneration(1),
        target,
        kcv: Crk::from_bytes(CRK).kcv(),
        by: founder.node(),
    };
    let sign = |target| sign::sign_value(founder.tpm.tls_signer(), labels::WRAP_ROW, &wrap(target)).unwrap();
    Found {
        genesis: root.sign_genesis(cluster.genesis()).unwrap(),
        root_der: root.root_der().to_vec(),
        sealed_root_key: vec![1; 40],
        sealed_secrets: vec![2; 40],
        approvals: vec![approval(policy, NodeRole::Registry), approval(policy, NodeRole::Node)],
        founder: joining(&attested, codec::encode(&evidence).unwrap(), "10.0.0.9:7000".into()),
        replica: ReplicaId(1),
        spki: SpkiHash::new([1; 32]),
        wraps: wraps.map(sign).to_vec(),
    }
}

fn approval(policy: &SoftSigner, role: NodeRole) -> PcrApproval {
    let selection = PcrSelection::try_from(vec![7]).unwrap();
    let pcrs = vec![PcrValue { index: 7, digest: PCR }];
    let message = approval_message(CLUSTER, role, PolicyEpoch(0), &selection, &pcrs).unwrap();
    let signature = policy.sign(&message).unwrap();
    PcrApproval { role, policy_epoch: PolicyEpoch(0), selection, pcrs, signature }
}

/// A request as the guard hands it on.
pub(crate) fn from<T>(caller: Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(Peer {
        identity: None,
        exporter: Exporter::new(EXPORTER),
        addr: ([127, 0, 0, 1], 9).into(),
    });
    request
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> Reason {
    Refusal::from_status(&result.unwrap_err()).unwrap().reason()
}

pub(crate) fn denied(message: join_reply::Message) -> Reason {
    match message {
        join_reply::Message::Denied(denied) => denied.reason.parse().unwrap(),
        other => panic!("not refused: {other:?}"),
    }
}
