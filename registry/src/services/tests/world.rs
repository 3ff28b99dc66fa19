//! A founded cluster with one voter, its log replaced by applying at once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
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
use holdfast_sys_core::{Caller, Clock, Refusal};
use holdfast_tpm_verify::{EkRoots, SoftTpm, VerifyContext, approval::approval_message, join};
use tonic::Request;

use super::{
    ek_maker::EkMaker,
    machine::{Ask, EXPORTER, Machine},
};
use crate::{
    authority::Authorities,
    cluster::Cluster,
    core::{Core, CoreParts, Log, Secrets},
    services::{enrolment, enrolment::EnrolmentService},
    state_host::StateHost,
};

pub(super) const CLUSTER: ClusterId = ClusterId::new([7; 16]);
pub(super) const START: UnixMs = UnixMs(1_800_000_000_000);
pub(super) const HOUR: u64 = 3_600_000;
/// Of the approved boot state.
pub(super) const PCR: [u8; 32] = [5; 32];
const CRK: [u8; 32] = [6; 32];

pub(super) struct World {
    pub(super) core: Arc<Core>,
    pub(super) enrolment: EnrolmentService,
    pub(super) maker: EkMaker,
    pub(super) bundle: TrustBundle,
    now: Arc<AtomicU64>,
    ann: SoftSigner,
    serial: AtomicU64,
}

/// Applies at once.
struct AtOnce {
    host: StateHost,
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
    pub(super) async fn new() -> Self {
        let world = Self::closed().await;
        world.core.open(world_secrets(&world));
        world
    }

    /// A voter whose secrets are not open.
    pub(super) async fn closed() -> Self {
        todo!()
    }
}
