//! Every line of the checklist, once kept and once broken.

use holdfast_domain::{
    Attested, ClusterId, JoinEvidence, NodeId, NodeRole, PcrSelection, Reason, TpmClass, TpmPolicy, UnixMs,
};
use holdfast_keys::{P256Public, Secret32, Signer, SoftSigner};

use super::*;
use crate::attest::{Body, ClockInfo};
use crate::ek_certificate::EkRoots;
use crate::soft::SoftTpm;
use crate::testing::{EK_P384, EK_P384_CERT, EK_RSA, EK_RSA_CERT, Fixture, OTHER_ROOT, root_hash};
use crate::{Name, Public};

mod boot;
mod keys;

fn denied(fixture: &Fixture, evidence: &JoinEvidence) -> Reason {
    verify(&fixture.context(), evidence).unwrap_err().reason
}

#[test]
fn honest_evidence_is_accepted() {
    let fixture = Fixture::soft();
    let evidence = fixture.evidence();
    let node = verify(&fixture.context(), &evidence).unwrap();
    assert_eq!(node.class(), TpmClass::Virtual);
    assert_eq!(node.role(), NodeRole::Node);
    assert_eq!(node.node_id(), NodeId::derive(fixture.join.cluster, fixture.tpm.ek.spki_der()));
    assert_eq!((node.anchor(), node.ticket()), (None, None));
    assert_eq!(*node.tls().key(), fixture.tpm.tls_signer().public());
    assert_eq!(*node.listener(), fixture.tpm.listener());
    assert_eq!(node.pcrs(), fixture.join.pcrs);
    assert_eq!(node.clock(), fixture.join.clock);
}

#[test]
fn evidence_of_another_cluster_is_denied() {
    let fixture = Fixture::soft();
    let evidence = JoinEvidence { cluster: ClusterId::new([9; 16]), ..fixture.evidence() };
    assert_eq!(denied(&fixture, &evidence), Reason::WrongCluster);
}

#[test]
fn line_1_a_certificate_with_vendor_header_and_padding_is_read() {
    let fixture = Fixture::certified(EK_RSA);
    let len = u16::try_from(EK_RSA_CERT.len()).unwrap().to_be_bytes();
    let nv = [&[0x10, 0x01, 0x00, len[0], len[1], 0x10, 0x02][..], EK_RSA_CERT, &[0xff; 64]].concat();
    verify(&fixture.context(), &fixture.certified_evidence(&nv)).unwrap();
}

#[test]
fn line_1_garbage_in_place_of_a_certificate_is_denied() {
    let fixture = Fixture::certified(EK_RSA);
    assert_eq!(denied(&fixture, &fixture.certified_evidence(&[0xff; 64])), Reason::EkCertificate);
    let cut = &EK_RSA_CERT[..EK_RSA_CERT.len() - 1];
    assert_eq!(denied(&fixture, &fixture.certified_evidence(cut)), Reason::EkCertificate);
    assert_eq!(denied(&fixture, &fixture.certified_evidence(&[0x30; 9000])), Reason::Malformed);
}

#[test]
fn line_2_chains_of_both_kinds_of_ek_are_accepted_as_hardware() {
    for (ek, certificate) in [(EK_RSA, EK_RSA_CERT), (EK_P384, EK_P384_CERT)] {
        let fixture = Fixture::certified(ek);
        let node = verify(&fixture.context(), &fixture.certified_evidence(certificate)).unwrap();
        assert_eq!((node.class(), node.anchor()), (TpmClass::Hardware, Some(root_hash())));
    }
}

#[test]
fn line_2_a_missing_intermediate_is_denied() {
    let fixture = Fixture::certified(EK_RSA);
    let evidence = JoinEvidence { ek_chain: Vec::new(), ..fixture.certified_evidence(EK_RSA_CERT) };
    assert_eq!(denied(&fixture, &evidence), Reason::EkCertificate);
}

#[test]
fn line_2_an_unknown_root_is_denied() {
    let mut fixture = Fixture::certified(EK_RSA);
    fixture.roots = EkRoots::new(&[OTHER_ROOT]).unwrap();
    assert_eq!(denied(&fixture, &fixture.certified_evidence(EK_RSA_CERT)), Reason::EkCertificate);
}

#[test]
fn line_2_a_certificate_before_its_time_is_denied() {
    let fixture = Fixture::certified(EK_RSA);
    let context = VerifyContext { now: UnixMs(0), ..fixture.context() };
    let denial = verify(&context, &fixture.certified_evidence(EK_RSA_CERT)).unwrap_err();
    assert_eq!(denial.reason, Reason::EkCertificate);
}

#[test]
fn line_2_a_leaf_without_the_ek_usage_is_denied() {
    let mut fixture = Fixture::certified(EK_P384);
    fixture.roots = EkRoots::new(&[OTHER_ROOT]).unwrap();
    let good = include_bytes!("../../fixtures/ek-p384-other-root.der");
    verify(&fixture.context(), &fixture.certified_evidence(good)).unwrap();
    for bad in [
        &include_bytes!("../../fixtures/ek-p384-without-usage.der")[..],
        include_bytes!("../../fixtures/ek-p384-without-any-usage.der"),
        include_bytes!("../../fixtures/ek-p384-as-authority.der"),
    ] {
        assert_eq!(denied(&fixture, &fixture.certified_evidence(bad)), Reason::EkCertificate);
    }
}

#[test]
fn line_3_a_certificate_of_another_ek_is_denied() {
    for (ek, other) in [(EK_RSA, EK_P384_CERT), (EK_P384, EK_RSA_CERT)] {
        let fixture = Fixture::certified(ek);
        assert_eq!(denied(&fixture, &fixture.certified_evidence(other)), Reason::EkCertificateKey);
    }
}

#[test]
fn line_3_an_ek_of_no_known_template_is_denied() {
    let fixture = Fixture::soft();
    let srk = fixture.tpm.srk.public().as_bytes().to_vec();
    let evidence = JoinEvidence { ek_public: srk, ..fixture.evidence() };
    assert_eq!(denied(&fixture, &evidence), Reason::EkTemplate);
    let mut policy = fixture.evidence();
    policy.ek_public[10] ^= 1;
    assert_eq!(denied(&fixture, &policy), Reason::EkTemplate);
}

#[test]
fn line_15_a_tpm_without_hardware_chain_is_denied_where_hardware_is_wanted() {
    let mut fixture = Fixture::soft();
    fixture.policy = TpmPolicy::HardwareOnly;
    assert_eq!(denied(&fixture, &fixture.evidence()), Reason::TpmClass);
}

#[test]
fn where_virtual_tpms_are_welcome_a_chain_makes_no_hardware_and_an_unknown_issuer_no_anchor() {
    let mut fixture = Fixture::certified(EK_RSA);
    fixture.policy = TpmPolicy::AdmitsVirtual;
    let evidence = fixture.certified_evidence(EK_RSA_CERT);
    let node = verify(&fixture.context(), &evidence).unwrap();
    assert_eq!((node.class(), node.anchor()), (TpmClass::Virtual, Some(root_hash())));
    fixture.roots = EkRoots::new(&[OTHER_ROOT]).unwrap();
    let node = verify(&fixture.context(), &evidence).unwrap();
    assert_eq!((node.class(), node.anchor()), (TpmClass::Virtual, None));
}

#[test]
fn line_8_the_answer_of_the_machine_with_ek_and_ak_is_accepted() {
    let fixture = Fixture::soft();
    let evidence = fixture.evidence();
    let challenge = make_challenge(&evidence.ek_public, &evidence.ak_public).unwrap();
    let proof = fixture.tpm.answer(&challenge.credential, &evidence).unwrap();
    verify_challenge(challenge.secret, &evidence, &proof).unwrap();
}

#[test]
fn line_8_a_wrong_answer_is_denied_whatever_is_wrong_with_it() {
    let fixture = Fixture::soft();
    let evidence = fixture.evidence();
    let secret = || Secret32::from_bytes([7; 32]);
    let proof = challenge_proof(&secret(), &transcript_of(&evidence).unwrap());
    verify_challenge(secret(), &evidence, &proof).unwrap();
    let moved = JoinEvidence { exporter: [9; 32], ..fixture.evidence() };
    let refused = [
        verify_challenge(Secret32::from_bytes([8; 32]), &evidence, &proof),
        verify_challenge(secret(), &evidence, &proof[..31]),
        verify_challenge(secret(), &evidence, &[]),
        verify_challenge(secret(), &moved, &proof),
    ];
    let denials: Vec<_> = refused.into_iter().map(Result::unwrap_err).collect();
    assert!(denials.iter().all(|denial| denial.reason == Reason::CredentialProof && *denial == denials[0]));
}

#[test]
fn line_8_a_machine_with_another_ek_or_ak_cannot_answer() {
    let (fixture, other) = (Fixture::soft(), Fixture::soft());
    let evidence = fixture.evidence();
    let challenge = make_challenge(&evidence.ek_public, other.tpm.ak().public().as_bytes()).unwrap();
    assert!(fixture.tpm.activate(&challenge.credential).is_err());
    let challenge = make_challenge(other.tpm.ek().public().as_bytes(), &evidence.ak_public).unwrap();
    assert!(fixture.tpm.activate(&challenge.credential).is_err());
}

#[test]
fn a_ticket_must_have_signed_this_transcript() {
    let fixture = Fixture::soft();
    let mut evidence = fixture.evidence();
    let ticket = sign_ticket(&Secret32::from_bytes([5; 32]), &transcript_of(&evidence).unwrap());
    evidence.ticket = Some(ticket.clone());
    assert_eq!(verify(&fixture.context(), &evidence).unwrap().ticket(), Some(ticket.ticket));
    let other = Fixture::soft();
    let stolen = JoinEvidence { ticket: Some(ticket), ..other.evidence() };
    assert_eq!(denied(&other, &stolen), Reason::TicketUnknown);
}
