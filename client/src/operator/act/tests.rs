use std::path::Path;

use holdfast_certs::testing::TestCluster;
use holdfast_domain::{EkHash, OperatorKey, SpiffeSubject};
use holdfast_keys::SoftSigner;
use holdfast_tpm_verify::admission::{self, OperatorSet};
use proptest::prelude::*;

use super::*;
use crate::{
    config::{Context, ContextKind},
    credential::{OperatorCredential, OperatorDescription},
    trust::testing::Founded,
};

fn operator(dir: &Path) -> (Operator, OperatorKey) {
    let cluster = TestCluster::fresh().unwrap();
    let key = SoftSigner::generate().unwrap();
    let name: OperatorName = "ann".parse().unwrap();
    let chain = cluster.issue(SpiffeSubject::Operator(name.clone()), key.public().into(), None).unwrap();
    let public = OperatorKey { name: name.clone(), key: key.public().to_point() };
    let founded = Founded::new(cluster, Some(public.clone()));
    let trust = founded.trust();
    let root_hash = trust.root_hash();
    let registries = vec!["127.0.0.1:1".parse().unwrap()];
    let description = OperatorDescription {
        cluster: trust.cluster(),
        trust_domain: trust.trust_domain().clone(),
        root_hash,
        registries: registries.clone(),
        name,
    };
    OperatorCredential::create(dir, description, key, chain, trust, Some(&founded.policy_signer)).unwrap();
    let context = Context { kind: ContextKind::Operator, registries, root_hash, credential: dir.to_owned() };
    (Operator::open_offline(&context, std::time::Duration::ZERO).unwrap(), public)
}

fn allow() -> OperatorRequest {
    OperatorRequest::AllowEk { ek: EkHash::new([4; 32]), role: NodeRole::Node }
}

#[test]
fn what_is_signed_is_what_the_cluster_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, public) = operator(&dir.path().join("o"));
    let signing = operator.sign_as(3, allow()).unwrap();
    let signed: SignedAdmission = codec::decode(&signing.to_bytes().unwrap(), MAX_SIGNED_ADMISSION).unwrap();
    let operators = OperatorSet::new(3, &[public], 1).unwrap();
    assert!(admission::verify(operator.description().cluster, &operators, &signed).is_ok());
    let Admission { issued, expires, request, .. } = signing.admission();
    assert_eq!(expires.since(*issued), ADMISSION_LIFE_MS);
    assert_eq!(*request, allow());
}

#[test]
fn each_request_has_a_serial_of_its_own_and_each_operator_signs_once() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, _) = operator(&dir.path().join("o"));
    let (one, two) = (operator.sign_as(3, allow()).unwrap(), operator.sign_as(3, allow()).unwrap());
    assert_ne!(one.admission().serial, two.admission().serial);
    let again = operator.cosign(Signing::from_bytes(&one.to_bytes().unwrap()).unwrap()).unwrap();
    assert_eq!(again.signers().count(), 1);
}

#[test]
fn another_clusters_request_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, _) = operator(&dir.path().join("o"));
    let Signing { signed, mut admission } = operator.sign_as(3, allow()).unwrap();
    admission.cluster = holdfast_domain::ClusterId::new([0xee; 16]);
    let foreign = SignedAdmission { bytes: codec::encode(&admission).unwrap(), ..signed };
    let foreign = Signing::from_bytes(&codec::encode(&foreign).unwrap()).unwrap();
    assert!(matches!(operator.cosign(foreign), Err(Error::Refused { reason: Reason::WrongCluster, .. })));
}

#[test]
fn a_boot_state_is_approved_for_the_clusters_pcrs_only() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, _) = operator(&dir.path().join("o"));
    let value = |index| PcrValue { index, digest: [index; 32] };
    let approve = |pcrs| operator.approve_pcrs(NodeRole::Node, PolicyEpoch(2), pcrs);
    assert!(matches!(approve(vec![value(7), value(11)]), Ok(OperatorRequest::ApprovePcrs(_))));
    assert!(approve(vec![value(7)]).is_err());
    assert!(approve(vec![value(11), value(7)]).is_err());
    std::fs::remove_file(dir.path().join("o/pcr-policy.key")).unwrap();
    assert!(approve(vec![value(7), value(11)]).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_request_and_never_panic(bytes: Vec<u8>) {
        let _ = Signing::from_bytes(&bytes);
    }
}
