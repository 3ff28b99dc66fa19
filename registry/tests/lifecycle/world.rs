//! Machines with software TPMs, voters on them, and an operator with its credential directory.

use std::{
    fs,
    future::Future,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_certs::{CertChain, Dialer, ExpectedServer, Identity, LiveIdentity};
use holdfast_domain::{
    Admission, ClusterId, EkHash, NodeId, NodeRole, OperatorRequest, PcrApproval, PcrSelection, PcrValue,
    PolicyEpoch, RequestSerial, RootHash, SignedAdmission, TpmPolicy, UnixMs, codec,
};
use holdfast_enrol::machine::Machine;
use holdfast_keys::{Signer as _, SoftSigner, labels, random_array, sign_labelled};
use holdfast_proto::registry::v1::{
    AuditRequest, StatusReply, StatusRequest, SubmitRequest, operators_client::OperatorsClient,
};
use holdfast_registry::{
    config::Config,
    init::{InitOptions, init},
    join::{JoinOptions, join},
    run::{RunError, run},
};
use holdfast_sys_core::{Clock, telemetry::LogFormat};
use holdfast_tpm_node::swtpm::{EkAuthority, SoftTpm};
use holdfast_tpm_verify::approval::approval_message;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::transport::Channel;

/// Waits until `look` sees something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no {what} in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One folder, one EK authority, one cluster.
pub(crate) struct World {
    dir: TempDir,
    made: Mutex<u32>,
    cluster: Mutex<Option<(ClusterId, RootHash)>>,
}

/// A machine that is in no cluster yet.
pub(crate) struct Bare {
    tpm: SoftTpm,
    folder: PathBuf,
    port: u16,
}

/// A voter, running or not.
pub(crate) struct Voter {
    tpm: SoftTpm,
    data: PathBuf,
    port: u16,
    node: NodeId,
    running: Option<Running>,
}

type Running = (oneshot::Sender<()>, JoinHandle<Result<(), RunError>>);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl World {
    pub(crate) fn new() -> Self {
        // Silent unless HOLDFAST_LOG says otherwise; the second test of a process finds it set up.
        let _ = holdfast_sys_core::telemetry::init(LogFormat::Human, "off");
        // A failed assertion says more than its place: its text goes to the terminal, as nothing here is secret.
        drop(std::panic::take_hook());
        Self { dir: tempfile::tempdir().unwrap(), made: Mutex::new(0), cluster: Mutex::new(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn machine(&self) -> Bare {
        let number = {
            let mut made = self.made.lock().unwrap();
            *made += 1;
            *made
        };
        let folder = self.path(&format!("machine-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let tpm = SoftTpm::fresh(&self.path("ca"), &folder.join("tpm")).unwrap();
        Bare { tpm, folder, port: free_port() }
    }

    fn authority(&self) -> EkAuthority {
        EkAuthority::open(&self.path("ca")).unwrap()
    }

    pub(crate) async fn found(&self) -> Voter {
        let machine = self.machine();
        let data = machine.folder.join("data");
        let address = format!("127.0.0.1:{}", machine.port);
        let options = InitOptions {
            data: &data,
            tpm: &machine.tpm.tcti(),
            listen: &address,
            advertise: &address,
            trust_domain: "test.example".parse().unwrap(),
            operator: "admin".parse().unwrap(),
            credential: &self.path("operator"),
            shares: &self.path("shares"),
            share_count: 5,
            share_threshold: 3,
            pcrs: vec![7, 11].try_into().unwrap(),
            tpm_policy: TpmPolicy::AdmitsVirtual,
            ek_roots: vec![self.authority().root_der().unwrap()],
            ek_chain: vec![self.authority().intermediate_der().unwrap()],
        };
        let made = init(&options).await.unwrap();
        assert_eq!(made.shares.len(), 5);
        *self.cluster.lock().unwrap() = Some((made.cluster, made.root));
        Voter { tpm: machine.tpm, data, port: machine.port, node: made.node, running: None }
    }

    fn cluster(&self) -> (ClusterId, RootHash) {
        self.cluster.lock().unwrap().unwrap()
    }

    fn operator_key(&self) -> SoftSigner {
        let pem = fs::read_to_string(self.path("operator").join("operator.key")).unwrap();
        SoftSigner::from_pkcs8_pem(&pem).unwrap()
    }

    pub(crate) async fn operators(&self, voter: &Voter) -> OperatorsClient<Channel> {
        self.try_operators(voter).await.unwrap()
    }

    async fn try_operators(&self, voter: &Voter) -> Option<OperatorsClient<Channel>> {
        let chain: CertChain =
            codec::decode(&fs::read(self.path("operator").join("operator.chain")).unwrap(), 1 << 20).unwrap();
        let identity = LiveIdentity::new(Identity::from_soft(chain, &self.operator_key()).unwrap());
        let dialer = Dialer::new(self.cluster().1, Some(identity));
        let dialed = dialer.connect(&voter.address(), &ExpectedServer::Registry(voter.node)).await.ok()?;
        Some(OperatorsClient::new(dialed.channel))
    }

    pub(crate) async fn status(&self, voter: &Voter) -> Option<StatusReply> {
        let answer = self.try_operators(voter).await?.status(StatusRequest {}).await;
        tracing::debug!(?answer, "status");
        answer.ok().map(tonic::Response::into_inner)
    }

    pub(crate) async fn submit(&self, voter: &Voter, request: OperatorRequest) {
        let issued: UnixMs = Clock::system().now();
        let admission = Admission {
            cluster: self.cluster().0,
            set: 0,
            serial: RequestSerial::new(random_array().unwrap()),
            issued,
            expires: issued.plus_ms(600_000),
            request,
        };
        let bytes = codec::encode(&admission).unwrap();
        let signature = sign_labelled(&self.operator_key(), labels::ADMISSION, &bytes).unwrap();
        let signed = SignedAdmission { bytes, signatures: vec![("admin".parse().unwrap(), signature)] };
        let admission: Bytes = codec::encode(&signed).unwrap().into();
        // As the SDK does: a voter between two leaders says that it is unavailable, and a request with its serial is safe to repeat.
        eventually("a voter that takes requests", || async {
            let request = SubmitRequest { admission: admission.clone() };
            match self.operators(voter).await.submit(request).await {
                Err(status) if status.code() == tonic::Code::Unavailable => None,
                answer => Some(answer.unwrap()),
            }
        })
        .await;
    }

    /// Approves the boot state of a machine that measured nothing, for registry machines at this policy epoch.
    pub(crate) fn approval(&self, epoch: u32) -> OperatorRequest {
        let (role, policy_epoch) = (NodeRole::Registry, PolicyEpoch(epoch));
        let selection = PcrSelection::try_from(vec![7, 11]).unwrap();
        let pcrs: Vec<_> = [7, 11].map(|index| PcrValue { index, digest: [0; 32] }).to_vec();
        let message = approval_message(self.cluster().0, role, policy_epoch, &selection, &pcrs).unwrap();
        let pem = fs::read_to_string(self.path("operator").join("pcr-policy.key")).unwrap();
        let signature = SoftSigner::from_pkcs8_pem(&pem).unwrap().sign(&message).unwrap();
        OperatorRequest::ApprovePcrs(PcrApproval { role, policy_epoch, selection, pcrs, signature })
    }

    pub(crate) async fn audit(&self, voter: &Voter) -> Vec<String> {
        self.try_audit(voter).await.unwrap()
    }

    pub(crate) async fn try_audit(&self, voter: &Voter) -> Option<Vec<String>> {
        let mut client = self.try_operators(voter).await?;
        let mut events = client.audit(AuditRequest { from_index: 0 }).await.ok()?.into_inner();
        let mut lines = Vec::new();
        while let Some(event) = events.message().await.ok()? {
            lines.push(format!("{} {} {}", event.index, event.what, hex::encode(event.hash)));
        }
        Some(lines)
    }
}

impl Bare {
    pub(crate) async fn ek(&self) -> EkHash {
        let scratch = self.folder.join("scratch");
        Machine::open(&self.tpm.tcti(), scratch, Vec::new()).await.unwrap().ek()
    }

    pub(crate) async fn join(self, world: &World, registries: &[String]) -> Voter {
        let data = self.folder.join("data");
        let address = format!("127.0.0.1:{}", self.port);
        let options = JoinOptions {
            data: &data,
            tpm: &self.tpm.tcti(),
            listen: &address,
            advertise: &address,
            registries,
            root: world.cluster().1,
            ticket: None,
            ek_chain: vec![world.authority().intermediate_der().unwrap()],
            wait: None,
        };
        let joined = join(options).await.unwrap();
        Voter { tpm: self.tpm, data, port: self.port, node: joined.node, running: None }
    }
}

impl Voter {
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let data = self.data.clone();
        let task = tokio::spawn(async move {
            let ran = run(&data, Config::default(), async move { drop(stopped.await) }).await;
            tracing::info!(?ran, "voter ended");
            ran
        });
        self.running = Some((stop, task));
    }

    pub(crate) async fn stop(&mut self) {
        let began = Instant::now();
        let (stop, task) = self.running.take().unwrap();
        drop(stop);
        task.await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "an orderly stop waits for nobody");
    }

    /// Runs the folder on the TPM of another machine; the error.
    pub(crate) async fn start_on_another_tpm(&mut self, world: &World) -> String {
        let other = world.machine();
        replace(&self.data.join("folder.toml"), &self.tpm.tcti(), &other.tpm.tcti());
        let refused = run(&self.data, Config::default(), std::future::ready(())).await;
        refused.unwrap_err().to_string()
    }
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace(from, to)).unwrap();
}
