use holdfast_domain::{
    NodeId, NodeRole, OperatorName, PcrSelection, RecoveryKey, RequestSerial, RootHash, Signature64,
    TpmPolicy, UnixMs,
};
use holdfast_enrol::folder::Settings;
use holdfast_keys::{Signer as _, SoftSigner, labels, sign_labelled};

use super::*;

const CLUSTER: ClusterId = ClusterId::new([1; 16]);

fn key(name: &str, signer: &SoftSigner) -> OperatorKey {
    OperatorKey { name: name.parse().unwrap(), key: signer.public().to_point() }
}

fn genesis(operator: &SoftSigner) -> Genesis {
    let other = SoftSigner::generate().unwrap().public().to_point();
    Genesis {
        cluster: CLUSTER,
        trust_domain: "test".parse().unwrap(),
        created: UnixMs(0),
        root: RootHash::new([1; 32]),
        founder: NodeId::new([1; 16]),
        tpm_policy: TpmPolicy::AdmitsVirtual,
        ek_roots: vec![],
        pcr_selection: PcrSelection::try_from(vec![7]).unwrap(),
        pcr_policy_key: other,
        recovery: RecoveryKey::new([9; 32]),
        recovery_threshold: 2,
        recovery_shares: 3,
        operators: vec![key("ann", operator)],
        operator_threshold: 1,
        map_key: other,
    }
}

fn signed(by: (&str, &SoftSigner), set: u32, request: OperatorRequest) -> SignedAdmission {
    let serial = RequestSerial::new([u8::try_from(set).unwrap(); 16]);
    let (issued, expires) = (UnixMs(1), UnixMs(2));
    let bytes =
        codec::encode(&Admission { cluster: CLUSTER, set, serial, issued, expires, request }).unwrap();
    let name: OperatorName = by.0.parse().unwrap();
    let signature: Signature64 = sign_labelled(by.1, labels::ADMISSION, &bytes).unwrap();
    SignedAdmission { signatures: vec![(name, signature)], bytes }
}

fn allow(by: (&str, &SoftSigner), set: u32, ek: EkHash) -> SignedAdmission {
    signed(by, set, OperatorRequest::AllowEk { ek, role: NodeRole::Node })
}

fn change(by: (&str, &SoftSigner), set: u32, to: (&str, &SoftSigner), keep: Vec<EkHash>) -> Bytes {
    let operators = vec![key(to.0, to.1)];
    let request = OperatorRequest::SetOperators { operators, threshold: 1, keep };
    codec::encode(&signed(by, set, request)).unwrap().into()
}

fn signers() -> [SoftSigner; 3] {
    [0; 3].map(|_| SoftSigner::generate().unwrap())
}

const KEPT: EkHash = EkHash::new([1; 32]);
const OTHER: EkHash = EkHash::new([2; 32]);

#[test]
fn a_removed_operator_admits_only_what_every_change_since_keeps() {
    let [ann, bob, _] = signers();
    let (ann, bob) = (("ann", &ann), ("bob", &bob));
    let genesis = genesis(ann.1);
    let before = OperatorChain::verify(&genesis, &[]).unwrap();
    assert!(before.admission(&allow(ann, 0, OTHER), OTHER).is_ok());

    let after = OperatorChain::verify(&genesis, &[change(ann, 0, bob, vec![KEPT])]).unwrap();
    assert!(after.admission(&allow(ann, 0, KEPT), KEPT).is_ok());
    assert!(after.admission(&allow(ann, 0, OTHER), OTHER).is_err(), "not kept");
    assert!(after.admission(&allow(ann, 1, KEPT), KEPT).is_err(), "not one of the new operators");
    assert!(after.admission(&allow(bob, 0, KEPT), KEPT).is_err(), "not one of the old operators");
    assert!(after.admission(&allow(bob, 1, OTHER), OTHER).is_ok());
    assert!(after.admission(&allow(bob, 2, OTHER), OTHER).is_err(), "a set that does not exist");
}

#[test]
fn each_change_is_signed_by_the_operators_before_it_and_in_its_place() {
    let [ann, bob, eve] = signers();
    let (ann, bob, eve) = (("ann", &ann), ("bob", &bob), ("eve", &eve));
    let genesis = genesis(ann.1);
    let first = change(ann, 0, bob, vec![]);
    assert!(OperatorChain::verify(&genesis, &[first.clone(), change(bob, 1, eve, vec![])]).is_ok());
    for second in [change(ann, 1, eve, vec![]), change(bob, 0, eve, vec![]), Bytes::from_static(b"?")] {
        assert!(OperatorChain::verify(&genesis, &[first.clone(), second]).is_err());
    }
    let no_change: Bytes = codec::encode(&allow(ann, 0, KEPT)).unwrap().into();
    assert!(OperatorChain::verify(&genesis, &[no_change]).is_err());
}

#[test]
fn a_chain_that_was_seen_is_neither_shortened_nor_replaced() {
    let [ann, bob, eve] = signers();
    let (ann, bob, eve) = (("ann", &ann), ("bob", &bob), ("eve", &eve));
    let genesis = genesis(ann.1);
    let first = change(ann, 0, bob, vec![]);
    let chain = |links: &[Bytes]| OperatorChain::verify(&genesis, links).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(&dir.path().join("d"));
    let remember = |links: &[Bytes]| chain(links).remember(&folder).unwrap().is_ok();
    assert!(remember(&[]));
    assert!(remember(std::slice::from_ref(&first)));
    assert!(!remember(&[]), "a change is hidden");
    assert!(!remember(&[change(ann, 0, eve, vec![])]), "the removed operator chose others");
    let second = change(bob, 1, eve, vec![]);
    assert!(remember(&[first.clone(), second.clone()]));
    assert!(!remember(std::slice::from_ref(&first)));
    assert!(remember(&[first, second]));
}

fn folder(path: &std::path::Path) -> Folder {
    let settings = Settings {
        cluster: CLUSTER,
        root: RootHash::new([1; 32]),
        node: NodeId::new([1; 16]),
        role: NodeRole::Node,
        ek: OTHER,
        replica: None,
        tpm: "device:/dev/tpmrm0".into(),
        listen: "127.0.0.1:7100".into(),
        advertise: "127.0.0.1:7100".into(),
        registries: vec![],
        zone: String::new(),
    };
    Folder::create(path, settings).unwrap()
}
