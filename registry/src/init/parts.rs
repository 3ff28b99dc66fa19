//! The parts of a founding: genesis record, approval, founder's row, wraps.

use holdfast_certs::RootCa;
use holdfast_domain::{
    ClusterId, Genesis, JoinEvidence, KeyGeneration, KeySubject, NodeRole, OperatorKey, PcrApproval,
    PolicyEpoch, Signed, UnixMs, WrapRow, WrapTarget, codec,
};
use holdfast_enrol::machine::Machine;
use holdfast_keys::{
    LenPrefixed, RecoverySecret, Signer as _, SoftSigner, custody::recovery_info, labels,
    recovery::seal_to_recovery, sign_value,
};
use holdfast_registry_state::{Joining, TpmClock};
use holdfast_tpm_verify::{PolicyKey, approval::approval_message, join::AttestedNode, wrap::wrap_key};

use super::{InitError, InitOptions, found::FoundingKeys};

/// First generation of the registry's key.
pub(super) const GENERATION: KeyGeneration = KeyGeneration(1);
/// First PCR policy.
const EPOCH: PolicyEpoch = PolicyEpoch(0);

pub(super) fn genesis(
    options: &InitOptions<'_>,
    machine: &Machine,
    root: &RootCa,
    keys: &FoundingKeys,
    now: UnixMs,
) -> Genesis {
    let certificate = root.certificate();
    let operator = OperatorKey { name: options.operator.clone(), key: keys.operator.public().to_point() };
    Genesis {
        cluster: certificate.cluster(),
        trust_domain: options.trust_domain.clone(),
        created: now,
        root: certificate.hash(),
        founder: machine.node_id(certificate.cluster()),
        tpm_policy: options.tpm_policy,
        ek_roots: options.ek_roots.clone(),
        pcr_selection: options.pcrs.clone(),
        pcr_policy_key: keys.policy.public().to_point(),
        recovery: keys.recovery.public().into(),
        recovery_threshold: options.share_threshold,
        recovery_shares: options.share_count,
        operators: vec![operator],
        operator_threshold: 1,
        map_key: keys.secrets.map_key.public().to_point(),
    }
}

/// The founder's own boot state, approved for registry machines.
pub(super) fn approve(
    policy: &SoftSigner,
    genesis: &Genesis,
    attested: &AttestedNode,
) -> Result<PcrApproval, InitError> {
    let step = "approving this machine's boot state";
    let role = NodeRole::Registry;
    let (selection, pcrs) = (genesis.pcr_selection.clone(), attested.pcrs().to_vec());
    let message =
        approval_message(genesis.cluster, role, EPOCH, &selection, &pcrs).map_err(InitError::at(step))?;
    let signature = policy.sign(&message).map_err(InitError::at(step))?;
    Ok(PcrApproval { role, policy_epoch: EPOCH, selection, pcrs, signature })
}

/// The founder as the state records it.
pub(super) fn founder(
    attested: &AttestedNode,
    evidence: &JoinEvidence,
    address: &str,
) -> Result<Joining, InitError> {
    let clock = attested.clock();
    Ok(Joining {
        node: attested.node_id(),
        role: attested.role(),
        address: address.to_owned(),
        ek: attested.ek_hash(),
        ek_spki: attested.ek().spki_der().clone(),
        ak_name: attested.ak().name().as_bytes().to_vec(),
        srk_name: attested.srk().name().as_bytes().to_vec(),
        tls_key: attested.tls().key().to_point(),
        listener: attested.listener().spki_hash(),
        class: attested.class(),
        anchor: attested.anchor(),
        clock: TpmClock {
            reset: clock.reset_count,
            restart: clock.restart_count,
            clock: clock.clock_ms,
            safe: clock.safe,
        },
        evidence: codec::encode(evidence).map_err(InitError::at("this machine's own proof"))?,
    })
}

/// The root's key, for the officers only; it is wiped with `root`.
pub(super) fn seal_root(
    root: RootCa,
    recovery: &RecoverySecret,
    cluster: ClusterId,
) -> Result<Vec<u8>, InitError> {
    let step = "sealing the root key to the officers";
    let info =
        LenPrefixed::new(labels::RECOVERY_WRAP).field(cluster.as_bytes()).field(b"root-ca").into_bytes();
    let key = root.into_key_bytes().map_err(InitError::at(step))?;
    seal_to_recovery(&recovery.public(), &info, &key).map_err(InitError::at(step))
}

/// The registry's key, wrapped to this machine and sealed to the officers: its two ways back.
pub(super) async fn wraps(
    machine: &Machine,
    keys: &FoundingKeys,
    genesis: &Genesis,
    attested: &AttestedNode,
) -> Result<Vec<Signed<WrapRow>>, InitError> {
    let step = "wrapping the registry's key";
    let crk = &keys.secrets.crk;
    let key = crk.expose_for_wrapping();
    let policy_key = PolicyKey::new(&genesis.pcr_policy_key).map_err(InitError::at(step))?;
    let policy = policy_key.sealing_policy(genesis.cluster, NodeRole::Registry, EPOCH);
    let blob = wrap_key(&attested.wrap_target(), &policy, key).map_err(InitError::at(step))?;
    let info = recovery_info(genesis.cluster, KeySubject::Crk, GENERATION);
    let sealed = seal_to_recovery(&keys.recovery.public(), &info, key).map_err(InitError::at(step))?;
    let srk_name = attested.srk().name().as_bytes().to_vec();
    let (cluster, node, kcv) = (genesis.cluster, attested.node_id(), crk.kcv());
    let row =
        |target| WrapRow { cluster, subject: KeySubject::Crk, generation: GENERATION, target, kcv, by: node };
    let rows = [row(WrapTarget::Tpm { node, srk_name, blob }), row(WrapTarget::Recovery { sealed })];
    let signer = machine.signer();
    // The TPM signs: not on an async thread.
    let signing = tokio::task::spawn_blocking(move || {
        rows.iter().map(|row| sign_value(&signer, labels::WRAP_ROW, row)).collect::<Result<Vec<_>, _>>()
    });
    signing.await.map_err(InitError::at(step))?.map_err(InitError::at(step))
}
