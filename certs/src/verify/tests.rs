use holdfast_domain::{ClientId, ClusterId, NodeId, SpiffeId};
use holdfast_keys::{ClientKey, Signer as _, SoftSigner};
use proptest::prelude::*;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, SanType};

use super::*;
use crate::{
    Authority, LeafRequest,
    authority::random_serial,
    leaf,
    remote_key::RemoteP256,
    testing::{TestCluster, TestError},
    validity::Validity,
};

const NODE: NodeId = NodeId::new([1; 16]);
const NOW: UnixMs = UnixMs(1_800_000_000_000);
const HOUR_MS: u64 = 3_600_000;

fn cluster() -> TestCluster {
    TestCluster::new(ClusterId::new([9; 16]), NOW).unwrap()
}

/// A leaf as no honest authority issues it: `change` has the last word.
fn forged(
    authority: &Authority,
    subject: SpiffeSubject,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<CertChain, TestError> {
    let spiffe = SpiffeId { trust_domain: "test".parse()?, subject };
    let mut params = leaf::params(&spiffe, None)?;
    params.serial_number = Some(random_serial()?);
    Validity::starting(NOW, HOUR_MS).write(&mut params);
    change(&mut params);
    let (cert_der, pkcs8) = authority.to_parts()?;
    let key = SoftSigner::from_pkcs8_der(&pkcs8)?;
    let issuer = Issuer::from_ca_cert_der(&cert_der.as_slice().into(), RemoteP256::new(&key))?;
    let der = params.signed_by(&RemoteP256::new(&SoftSigner::generate()?), &issuer)?.der().to_vec();
    Ok(CertChain::new(der, cert_der))
}

fn node_chain(cluster: &TestCluster) -> CertChain {
    let key = SoftSigner::generate().unwrap();
    cluster.issue(SpiffeSubject::Node(NODE), key.public().into(), None).unwrap()
}

fn check(cluster: &TestCluster, chain: &CertChain, purpose: Purpose) -> Result<PeerIdentity, VerifyError> {
    verify_chain(&cluster.bundle(), chain, purpose, NOW)
}

#[test]
fn what_is_issued_reads_back() {
    let cluster = cluster();
    let key = ClientKey::generate().unwrap();
    let (id, home) = (
        ClientId::new([3; 16]),
        holdfast_domain::Home { account: holdfast_domain::AccountId::new([4; 16]), quota_bytes: 1 << 30 },
    );
    let chain = cluster.issue(SpiffeSubject::Client(id), key.public().into(), Some(home)).unwrap();
    let identity = check(&cluster, &chain, Purpose::Client).unwrap();
    assert_eq!(identity.spiffe.subject, SpiffeSubject::Client(id));
    assert_eq!(identity.home, Some(home));
    assert_eq!(identity.spki_hash, key.public().spki_hash());
    assert_eq!(identity.not_after, NOW.plus_ms(HOUR_MS));
    assert!(check(&cluster, &chain, Purpose::Server).is_err(), "clients never serve");
}

#[test]
fn another_clusters_chain_is_refused() {
    let chain = node_chain(&TestCluster::new(ClusterId::new([8; 16]), NOW).unwrap());
    assert_eq!(
        check(&cluster(), &chain, Purpose::Server),
        Err(VerifyError::Chain(webpki::Error::UnknownIssuer))
    );
}

#[test]
fn a_workload_authority_cannot_vouch_for_a_registry() {
    let cluster = cluster();
    let subject = SpiffeSubject::Registry(NODE);
    let chain = forged(&cluster.workload, subject.clone(), |_| {}).unwrap();
    let refused = VerifyError::Kind { kind: AuthorityKind::Workload, subject };
    assert_eq!(check(&cluster, &chain, Purpose::Server), Err(refused));
}

#[test]
fn a_registry_authority_vouches_for_nobody_else() {
    let cluster = cluster();
    for subject in [
        SpiffeSubject::Node(NODE),
        SpiffeSubject::Operator("ann".parse().unwrap()),
        SpiffeSubject::Client(ClientId::new([1; 16])),
    ] {
        let chain = forged(&cluster.registry, subject.clone(), |_| {}).unwrap();
        let refused = VerifyError::Kind { kind: AuthorityKind::Registry, subject };
        assert_eq!(check(&cluster, &chain, Purpose::Client), Err(refused));
    }
}

#[test]
fn an_authority_does_not_issue_what_it_cannot_vouch_for() {
    let cluster = cluster();
    let mut request = LeafRequest {
        subject: SpiffeSubject::Registry(NODE),
        key: SoftSigner::generate().unwrap().public().into(),
        now: NOW,
        not_after: NOW.plus_ms(HOUR_MS),
        home: None,
    };
    assert!(matches!(cluster.workload.issue(&request), Err(crate::IssueError::Kind { .. })));
    request.key = ClientKey::generate().unwrap().public().into();
    assert!(matches!(cluster.registry.issue(&request), Err(crate::IssueError::KeyAlgorithm(_))));
    request.key = SoftSigner::generate().unwrap().public().into();
    request.home = Some(holdfast_domain::Home {
        account: holdfast_domain::AccountId::new([1; 16]),
        quota_bytes: 1 << 30,
    });
    assert!(matches!(cluster.registry.issue(&request), Err(crate::IssueError::Home(_))));
    (request.home, request.not_after) = (None, NOW);
    assert!(matches!(cluster.registry.issue(&request), Err(crate::IssueError::Validity)));
}

#[test]
fn a_leaf_has_exactly_one_name_and_it_is_a_uri() {
    let cluster = cluster();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let second = uri("spiffe://test/node/00112233445566778899aabbccddeeff");
    let dns = SanType::DnsName("example.org".try_into().unwrap());
    for names in [vec![], vec![dns.clone()]] {
        let chain = forged(&cluster.workload, SpiffeSubject::Node(NODE), |p| p.subject_alt_names = names);
        assert_eq!(check(&cluster, &chain.unwrap(), Purpose::Server), Err(VerifyError::Names));
    }
    for name in [second, dns] {
        let chain = forged(&cluster.workload, SpiffeSubject::Node(NODE), |p| p.subject_alt_names.push(name));
        assert_eq!(check(&cluster, &chain.unwrap(), Purpose::Server), Err(VerifyError::Names));
    }
    let not_ours = vec![uri("spiffe://test/king/arthur")];
    let chain = forged(&cluster.workload, SpiffeSubject::Node(NODE), |p| p.subject_alt_names = not_ours);
    assert!(matches!(check(&cluster, &chain.unwrap(), Purpose::Server), Err(VerifyError::Spiffe(_))));
}

#[test]
fn another_trust_domain_is_refused() {
    let cluster = cluster();
    let name = SanType::URI(format!("spiffe://other/node/{NODE}").try_into().unwrap());
    let chain = forged(&cluster.workload, SpiffeSubject::Node(NODE), |p| p.subject_alt_names = vec![name]);
    assert_eq!(check(&cluster, &chain.unwrap(), Purpose::Server), Err(VerifyError::TrustDomain));
}

#[test]
fn a_leaf_states_its_purpose() {
    let cluster = cluster();
    let subject = || SpiffeSubject::Node(NODE);
    let none = forged(&cluster.workload, subject(), |p| p.extended_key_usages.clear()).unwrap();
    assert_eq!(check(&cluster, &none, Purpose::Server), Err(VerifyError::Usage));
    let client_only = forged(&cluster.workload, subject(), |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
    })
    .unwrap();
    assert!(check(&cluster, &client_only, Purpose::Client).is_ok());
    assert!(check(&cluster, &client_only, Purpose::Server).is_err());
    let operator = SpiffeSubject::Operator("ann".parse().unwrap());
    let serving = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain = forged(&cluster.workload, operator, |p| p.extended_key_usages = serving).unwrap();
    assert_eq!(check(&cluster, &chain, Purpose::Server), Err(VerifyError::Usage), "operators never serve");
}

#[test]
fn a_leaf_signed_by_the_root_itself_is_refused() {
    let cluster = cluster();
    let mut chain = node_chain(&cluster).into_ders();
    let key = SoftSigner::generate().unwrap();
    let root = RootCaParts::split(cluster);
    let mut params = leaf::params(
        &SpiffeId { trust_domain: "test".parse().unwrap(), subject: SpiffeSubject::Node(NODE) },
        None,
    )
    .unwrap();
    params.serial_number = Some(random_serial().unwrap());
    Validity::starting(NOW, HOUR_MS).write(&mut params);
    let issuer =
        Issuer::from_ca_cert_der(&root.bundle.root_der().into(), RemoteP256::new(&root.key)).unwrap();
    chain[0] = params.signed_by(&RemoteP256::new(&key), &issuer).unwrap().der().to_vec();
    let chain = CertChain::from_ders(chain).unwrap();
    assert_eq!(verify_chain(&root.bundle, &chain, Purpose::Server, NOW), Err(VerifyError::Depth));
}

struct RootCaParts {
    bundle: TrustBundle,
    key: SoftSigner,
}

impl RootCaParts {
    fn split(cluster: TestCluster) -> Self {
        let bundle = cluster.bundle();
        let key = SoftSigner::from_pkcs8_der(&cluster.root.into_key_bytes().unwrap()).unwrap();
        Self { bundle, key }
    }
}

#[test]
fn five_minutes_of_clock_skew_are_accepted_and_six_are_not() {
    let cluster = cluster();
    let chain = node_chain(&cluster);
    let at = |now| verify_chain(&cluster.bundle(), &chain, Purpose::Server, now);
    assert!(at(UnixMs(NOW.0 - 5 * 60_000)).is_ok());
    assert!(matches!(
        at(UnixMs(NOW.0 - 6 * 60_000)),
        Err(VerifyError::Chain(webpki::Error::CertNotValidYet { .. }))
    ));
}

#[test]
fn an_expired_leaf_is_refused_unless_its_key_is_pinned_as_a_registry() {
    let cluster = cluster();
    let month_later = NOW.plus_ms(30 * 24 * HOUR_MS);
    let (key, bundle) = (SoftSigner::generate().unwrap(), cluster.bundle());
    let pinned = PinnedPeers::new(BTreeSet::from([key.public().spki_hash()]));
    let verify = |subject: SpiffeSubject, pinned: &PinnedPeers| {
        let chain = cluster.issue(subject, key.public().into(), None).unwrap();
        let ders: Vec<CertificateDer<'_>> = chain.ders().iter().map(|der| der.as_slice().into()).collect();
        let trust = Trust { root: bundle.root(), revoked: bundle.revoked(), pinned };
        trust.verify(&ders[0], &ders[1..], Purpose::Client, month_later)
    };
    let expired = |result| matches!(result, Err(VerifyError::Chain(webpki::Error::CertExpired { .. })));
    assert!(expired(verify(SpiffeSubject::Registry(NODE), &PinnedPeers::none())));
    assert!(expired(verify(SpiffeSubject::Node(NODE), &pinned)), "only registries are pinned");
    let identity = verify(SpiffeSubject::Registry(NODE), &pinned).unwrap();
    assert!(identity.not_after < month_later);
}

#[test]
fn a_revoked_authority_vouches_for_nobody() {
    let cluster = cluster();
    let revoked = BTreeSet::from([cluster.workload.spki_hash()]);
    let bundle = cluster.bundle().with_revoked(revoked).unwrap();
    let chain = node_chain(&cluster);
    assert_eq!(verify_chain(&bundle, &chain, Purpose::Server, NOW), Err(VerifyError::Revoked));
}

#[test]
fn an_authority_does_not_outlive_its_root_nor_a_leaf_its_authority() {
    let cluster = cluster();
    let request = LeafRequest {
        subject: SpiffeSubject::Node(NODE),
        key: SoftSigner::generate().unwrap().public().into(),
        now: NOW,
        not_after: UnixMs(u64::MAX),
        home: None,
    };
    let chain = cluster.workload.issue(&request).unwrap();
    let identity = check(&cluster, &chain, Purpose::Server).unwrap();
    assert_eq!(identity.not_after, NOW.plus_ms(crate::limits::AUTHORITY_LIFETIME_MS));
}

#[test]
fn a_trust_bundle_is_for_the_cluster_in_its_root() {
    let cluster = cluster();
    let (id, domain) = (ClusterId::new([9; 16]), "test".parse().unwrap());
    assert!(TrustBundle::new(id, &domain, cluster.root.root_der(), 1).is_ok());
    assert!(TrustBundle::new(ClusterId::new([8; 16]), &domain, cluster.root.root_der(), 1).is_err());
    assert!(TrustBundle::new(id, &"other".parse().unwrap(), cluster.root.root_der(), 1).is_err());
    assert!(TrustBundle::new(id, &domain, cluster.workload.cert_der(), 1).is_err());
    let bytes = postcard::to_allocvec(&cluster.bundle()).unwrap();
    let read: TrustBundle = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(read.root_hash(), cluster.bundle().root_hash());
}

#[test]
fn live_trust_takes_no_other_root_and_no_older_bundle() {
    let cluster = cluster();
    let live = crate::LiveTrust::new(TrustBundle::of_root(cluster.root.certificate().clone(), 5));
    let next = |sequence| TrustBundle::of_root(cluster.root.certificate().clone(), sequence);
    assert!(matches!(live.replace(next(4)), Err(crate::BundleError::Stale { known: 5, offered: 4 })));
    assert!(live.replace(next(6)).is_ok());
    let other = TestCluster::new(ClusterId::new([9; 16]), NOW).unwrap();
    assert!(matches!(live.replace(other.bundle()), Err(crate::BundleError::RootChanged)));
    assert_eq!(live.current().sequence(), 6);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(ders in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..256), 0..5)) {
        let bundle = shared().bundle();
        for der in &ders {
            prop_assert!(Leaf::parse(der).is_err());
            prop_assert!(RootCertificate::parse(der).is_err());
        }
        if let Ok(chain) = CertChain::from_ders(ders) {
            prop_assert!(verify_chain(&bundle, &chain, Purpose::Client, NOW).is_err());
        }
    }

    #[test]
    fn no_flipped_byte_in_a_leaf_is_accepted(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut ders = shared_chain().clone().into_ders();
        let at = at.index(ders[0].len());
        ders[0][at] ^= flip;
        let chain = CertChain::from_ders(ders).unwrap();
        prop_assert!(verify_chain(&shared().bundle(), &chain, Purpose::Server, NOW).is_err());
    }

    #[test]
    fn private_extensions_are_read_strictly(content in prop::collection::vec(any::<u8>(), 0..20)) {
        let cluster = shared();
        let subject = SpiffeSubject::Client(ClientId::new([1; 16]));
        let valid = content.len() == 18 && content.starts_with(&[4, 16]);
        let mut extension = crate::extension::write_home(holdfast_domain::Home { account: holdfast_domain::AccountId::new([0; 16]), quota_bytes: 1 << 30 });
        extension = rcgen::CustomExtension::from_oid_content(
            &extension.oid_components().collect::<Vec<_>>(), content);
        let chain = forged(&cluster.workload, subject, |p| p.custom_extensions.push(extension)).unwrap();
        prop_assert_eq!(verify_chain(&cluster.bundle(), &chain, Purpose::Client, NOW).is_ok(), valid);
    }
}

fn shared() -> &'static TestCluster {
    static CLUSTER: std::sync::OnceLock<TestCluster> = std::sync::OnceLock::new();
    CLUSTER.get_or_init(cluster)
}

fn shared_chain() -> &'static CertChain {
    static CHAIN: std::sync::OnceLock<CertChain> = std::sync::OnceLock::new();
    CHAIN.get_or_init(|| node_chain(shared()))
}
