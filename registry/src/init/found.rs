//! The founding itself: all keys and certificates, the founder's proof, and the first command.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_certs::{AuthorityKind, CertChain, Dialer, IssueError, LiveTrust, RootCa, TrustBundle};
use holdfast_consensus::{Groups, Member, Options, Pin, TlsConnector};
use holdfast_domain::{
    ClusterId, Genesis, GroupId, NodeRole, PcrApproval, ReplicaId, RootHash, Signed, SpiffeSubject, UnixMs,
    VoterEndpoint,
};
use holdfast_enrol::{
    folder::Folder,
    machine::{LISTENER_KEY, LOCAL_KEY, Machine},
    member::files,
};
use holdfast_keys::{Crk, LocalKey, RecoverySecret, Secret32, Signer as _, SoftSigner};
use holdfast_registry_state::{Act, Command, Found, Outcome};

use super::{InitError, InitOptions, parts, proof};
use crate::{
    authority::{Authorities, Leaf},
    core::Secrets,
    limits::FOUNDING_PATIENCE,
    machine::Machine as StateMachine,
    run::{CRK, KnownVoters},
    secrets,
    state_host::StateHost,
};

/// Raft id of the first voter; later ones are drawn by the state.
pub(super) const REPLICA: ReplicaId = ReplicaId(1);

/// Private keys, on their way to where they are kept.
pub(super) struct FoundingKeys {
    pub(super) recovery: RecoverySecret,
    pub(super) operator: SoftSigner,
    pub(super) policy: SoftSigner,
    pub(super) secrets: Secrets,
    listener: SoftSigner,
    listener_secret: Secret32,
}

/// Everything that is public, or sealed.
pub(super) struct Founding {
    pub(super) root: RootHash,
    pub(super) root_der: Vec<u8>,
    pub(super) genesis: Signed<Genesis>,
    pub(super) operator_chain: CertChain,
    record: Genesis,
    bundle: TrustBundle,
    listener_chain: CertChain,
    tls_chain: CertChain,
    approval: PcrApproval,
    found: Found,
}

impl FoundingKeys {
    fn make(root: &RootCa, now: UnixMs) -> Result<Self, InitError> {
        let step = "making keys";
        let key = || SoftSigner::generate().map_err(InitError::at(step));
        let intermediate = |kind| root.sign_intermediate(kind, 1, now).map_err(InitError::at(step));
        let (registry, workload) =
            (intermediate(AuthorityKind::Registry)?, intermediate(AuthorityKind::Workload)?);
        let (listener, listener_secret) = Machine::new_listener().map_err(InitError::at(step))?;
        Ok(Self {
            recovery: RecoverySecret::generate().map_err(InitError::at(step))?,
            operator: key()?,
            policy: key()?,
            secrets: Secrets {
                crk: Crk::generate().map_err(InitError::at(step))?,
                generation: parts::GENERATION,
                authorities: Authorities::new(registry, workload).map_err(InitError::at(step))?,
                map_key: key()?,
            },
            listener,
            listener_secret,
        })
    }
}

impl Founding {
    pub(super) fn cluster(&self) -> ClusterId {
        self.record.cluster
    }

    /// Makes all keys and certificates, and the founder's proof.
    pub(super) async fn prepare(
        options: &InitOptions<'_>,
        machine: &Machine,
        cluster: ClusterId,
        now: UnixMs,
    ) -> Result<(Self, FoundingKeys), InitError> {
        let root = RootCa::create(cluster, &options.trust_domain, now).map_err(InitError::at("the root"))?;
        let keys = FoundingKeys::make(&root, now)?;
        let record = parts::genesis(options, machine, &root, &keys, now);
        let genesis = root.sign_genesis(&record).map_err(InitError::at("the genesis record"))?;
        let (evidence, attested) = proof::of(machine, &keys.listener, &record).await?;
        let approval = parts::approve(&keys.policy, &record, &attested)?;

        let issued = |leaf: Result<Leaf, IssueError>| leaf.map_err(InitError::at("the first certificates"));
        let authorities = &keys.secrets.authorities;
        let own = |key| issued(authorities.machine(NodeRole::Registry, attested.node_id(), key, now));
        let operator_key = keys.operator.public().into();
        let operator = issued(authorities.operator(options.operator.clone(), operator_key, now))?;
        let (listener_chain, tls_chain) =
            (own(keys.listener.public())?.chain, own(*machine.keys().tls.key())?.chain);

        let sealed_secrets =
            secrets::seal(&keys.secrets, cluster).map_err(InitError::at("sealing the secrets"))?;
        let bundle = TrustBundle::of_root(root.certificate().clone(), 1);
        let root_der = root.root_der().to_vec();
        let found = Found {
            genesis: genesis.clone(),
            root_der: root_der.clone(),
            sealed_root_key: parts::seal_root(root, &keys.recovery, cluster)?,
            sealed_secrets,
            approvals: vec![approval.clone()],
            founder: parts::founder(&attested, &evidence, options.advertise)?,
            replica: REPLICA,
            spki: keys.listener.public().spki_hash(),
            wraps: parts::wraps(machine, &keys, &record, &attested).await?,
        };
        let founding = Self {
            root: record.root,
            root_der,
            genesis,
            operator_chain: operator.chain,
            record,
            bundle,
            listener_chain,
            tls_chain,
            approval,
            found,
        };
        Ok((founding, keys))
    }

    /// Fills the folder, starts the registry's group with this machine alone, and commits the first command.
    pub(super) async fn commit(
        self,
        folder: &Folder,
        machine: &Machine,
        keys: FoundingKeys,
    ) -> Result<(), InitError> {
        let step = "the data folder";
        let founder = &self.found.founder;
        let voters = vec![VoterEndpoint {
            node: founder.node,
            replica: REPLICA,
            address: founder.address.clone(),
            spki: self.found.spki,
        }];
        folder.put(files::BUNDLE, &self.bundle).map_err(InitError::at(step))?;
        folder.put(files::GENESIS, &self.genesis).map_err(InitError::at(step))?;
        folder.put(files::APPROVALS, &vec![self.approval.clone()]).map_err(InitError::at(step))?;
        folder.put(files::VOTERS, &voters).map_err(InitError::at(step))?;
        folder.put(files::LISTENER_CHAIN, &self.listener_chain).map_err(InitError::at(step))?;
        folder.put(files::TLS_CHAIN, &self.tls_chain).map_err(InitError::at(step))?;
        let local = Secret32::generate().map_err(InitError::at("making keys"))?;
        let crk = Secret32::from_bytes(*keys.secrets.crk.expose_for_wrapping());
        let step = "sealing keys to the TPM";
        let proof =
            machine.proof(&self.record, NodeRole::Registry, std::slice::from_ref(&self.approval)).await;
        let proof = proof.map_err(InitError::at(step))?;
        for (name, secret) in [(LISTENER_KEY, &keys.listener_secret), (LOCAL_KEY, &local), (CRK, &crk)] {
            machine.seal(folder, name, secret, &proof).await.map_err(InitError::at(step))?;
        }
        self.first_command(folder, LocalKey::from_secret(local), voters).await
    }

    async fn first_command(
        self,
        folder: &Folder,
        local: LocalKey,
        voters: Vec<VoterEndpoint>,
    ) -> Result<(), InitError> {
        let step = "the first commit";
        let known = Arc::new(KnownVoters::new(voters));
        let dialer = Dialer::new(LiveTrust::new(self.bundle), None);
        let options = Options::new(folder.part("raft"));
        let groups = Groups::open(options, local, Arc::new(TlsConnector::new(dialer)), known)
            .await
            .map_err(InitError::at(step))?;
        let machine = Box::new(StateMachine(StateHost::default()));
        let group = groups.start(GroupId::REGISTRY, REPLICA, machine).await.map_err(InitError::at(step))?;
        let founder = &self.found.founder;
        let (node, address) = (founder.node, founder.address.clone());
        let member = Member { node, address, pin: Pin::Key(self.found.spki) };
        group.bootstrap(BTreeMap::from([(REPLICA, member)])).await.map_err(InitError::at(step))?;
        group.wait_leading(FOUNDING_PATIENCE).await.map_err(InitError::at(step))?;
        let command = Command {
            now: self.record.created,
            by: SpiffeSubject::Registry(node),
            act: Act::Found(Box::new(self.found)),
        };
        let bytes = command.encode().map_err(InitError::at(step))?;
        let applied = group.propose(bytes).await.map_err(InitError::at(step))?;
        groups.shutdown().await;
        let outcome = Outcome::decode(&applied.result).map_err(InitError::at(step))?;
        let refused = |reason: holdfast_domain::Reason| format!("{}: {}", reason.code(), reason.text());
        outcome.into_result().map(drop).map_err(|reason| InitError::at(step)(refused(reason)))
    }
}
