//! What the openssl program, an independent verifier, says about our chains.

use std::{path::Path, process::Command};

use holdfast_domain::{ClientId, NodeId, SpiffeSubject};
use holdfast_keys::{ClientKey, Signer as _, SoftSigner};

use crate::{CertChain, SubjectKey, csr, testing::TestCluster};

fn openssl(args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn pem(directory: &Path, name: &str, der: &[u8], kind: &str) -> String {
    let (from, to) = (directory.join(format!("{name}.der")), directory.join(format!("{name}.pem")));
    std::fs::write(&from, der).unwrap();
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let (read, text) = openssl(&[kind, "-inform", "DER", "-in", &from, "-out", &to]);
    assert!(read, "{text}");
    to
}

fn verify(cluster: &TestCluster, chain: &CertChain, purpose: &str) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let root = pem(directory.path(), "root", cluster.root.root_der(), "x509");
    let authority = pem(directory.path(), "authority", &chain.ders()[1], "x509");
    let leaf = pem(directory.path(), "leaf", chain.leaf(), "x509");
    let options = ["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose];
    let files = ["-CAfile", &root, "-untrusted", &authority, &leaf];
    openssl(&[options.as_slice(), &files].concat())
}

#[test]
fn openssl_accepts_machines_at_both_ends() {
    let cluster = TestCluster::fresh().unwrap();
    let module = SpiffeSubject::Module { name: "files".parse().unwrap(), instance: "a".parse().unwrap() };
    let id = NodeId::new([1; 16]);
    for subject in [SpiffeSubject::Registry(id), SpiffeSubject::Node(id), module] {
        let key: SubjectKey = SoftSigner::generate().unwrap().public().into();
        let chain = cluster.issue(subject.clone(), key, None).unwrap();
        for purpose in ["sslserver", "sslclient"] {
            let (accepted, text) = verify(&cluster, &chain, purpose);
            assert!(accepted, "{subject} {purpose}: {text}");
        }
    }
}

#[test]
fn openssl_accepts_people_as_clients_only() {
    let cluster = TestCluster::fresh().unwrap();
    let operator = SpiffeSubject::Operator("ann".parse().unwrap());
    let client = SpiffeSubject::Client(ClientId::new([2; 16]));
    let home = Some(holdfast_domain::Home {
        account: holdfast_domain::AccountId::new([3; 16]),
        quota_bytes: 1 << 30,
    });
    let ed25519: SubjectKey = ClientKey::generate().unwrap().public().into();
    let p256: SubjectKey = SoftSigner::generate().unwrap().public().into();
    for (subject, key, home) in
        [(operator.clone(), ed25519, None), (operator, p256, None), (client, ed25519, home)]
    {
        let chain = cluster.issue(subject, key, home).unwrap();
        let (accepted, text) = verify(&cluster, &chain, "sslclient");
        assert!(accepted, "{text}");
        let (accepted, text) = verify(&cluster, &chain, "sslserver");
        assert!(!accepted && text.contains("purpose"), "{text}");
    }
}

#[test]
fn openssl_refuses_another_clusters_leaf() {
    let (ours, theirs) = (TestCluster::fresh().unwrap(), TestCluster::fresh().unwrap());
    let key = SoftSigner::generate().unwrap().public();
    let chain = theirs.issue(SpiffeSubject::Node(NodeId::new([1; 16])), key.into(), None).unwrap();
    assert!(!verify(&ours, &chain, "sslserver").0);
}

#[test]
fn openssl_verifies_our_requests() {
    let directory = tempfile::tempdir().unwrap();
    let machine = csr::create(&SoftSigner::generate().unwrap()).unwrap();
    let person = csr::create_ed25519(&ClientKey::generate().unwrap()).unwrap();
    for request in [machine, person] {
        let file = pem(directory.path(), "csr", &request, "req");
        let (verified, text) = openssl(&["req", "-verify", "-noout", "-in", &file]);
        assert!(verified && text.contains("verify OK"), "{text}");
    }
}

#[test]
fn generations_share_neither_subject_nor_key_identifier() {
    let cluster = TestCluster::fresh().unwrap();
    let now = cluster.now;
    let second = cluster.root.sign_intermediate(crate::AuthorityKind::Workload, 1, now).unwrap();
    let read = |der: &[u8]| {
        let certificate = crate::root_certificate::parse_x509(der).unwrap();
        let identifiers: Vec<_> = certificate
            .extensions()
            .iter()
            .filter(|extension| extension.oid.to_id_string() == "2.5.29.14")
            .map(|extension| extension.value.to_vec())
            .collect();
        assert_eq!(identifiers.len(), 1);
        (certificate.subject().to_string(), identifiers)
    };
    let (first, second) = (read(cluster.workload.cert_der()), read(second.cert_der()));
    assert!(first.0 != second.0 && first.1 != second.1);
}

#[test]
fn a_root_comes_back_from_its_parts_and_from_no_others() {
    let (cluster, other) = (TestCluster::fresh().unwrap(), TestCluster::fresh().unwrap());
    let root_der = cluster.root.root_der().to_vec();
    let pkcs8 = cluster.root.into_key_bytes().unwrap();
    let key = || SoftSigner::from_pkcs8_der(&pkcs8).unwrap();
    assert!(crate::RootCa::restore(&root_der, key()).is_ok());
    assert!(crate::RootCa::restore(other.root.root_der(), key()).is_err());
}
