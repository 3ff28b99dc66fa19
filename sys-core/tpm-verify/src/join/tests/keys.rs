//! Lines 6, 7 and 9 to 13: keys and what the AK signed about them.

use super::*;

/// A public area with one attribute bit flipped, or another byte.
fn flipped(public: &[u8], index: usize, bits: u8) -> Vec<u8> {
    let mut bytes = public.to_vec();
    bytes[index] ^= bits;
    bytes
}

#[test]
fn line_6_every_attribute_of_the_ak_is_compared() {
    let fixture = Fixture::soft();
    for (index, bit) in (4..8).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let ak_public = flipped(&fixture.evidence().ak_public, index, 1 << bit);
        let evidence = JoinEvidence { ak_public, ..fixture.evidence() };
        assert_eq!(denied(&fixture, &evidence), Reason::AkAttributes);
    }
}

#[test]
fn line_7_another_scheme_or_sha_1_is_denied() {
    let fixture = Fixture::soft();
    let ak = fixture.evidence().ak_public;
    // Offsets: 2 nameAlg, 12 scheme, 14 its hash.
    assert_eq!(ak[12..16], [0x00, 0x18, 0x00, 0x0b]);
    for (index, value) in [(3, 0x04), (13, 0x14), (15, 0x04), (15, 0x0c)] {
        let mut ak_public = ak.clone();
        ak_public[index] = value;
        let evidence = JoinEvidence { ak_public, ..fixture.evidence() };
        assert_eq!(denied(&fixture, &evidence), Reason::AkAttributes);
    }
}

#[test]
fn public_areas_that_do_not_parse_are_malformed() {
    let fixture = Fixture::soft();
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
    let whole = fixture.evidence();
    let spoilt = [
        JoinEvidence { ek_public: cut(&whole.ek_public), ..whole.clone() },
        JoinEvidence { ak_public: cut(&whole.ak_public), ..whole.clone() },
        JoinEvidence { srk_public: cut(&whole.srk_public), ..whole.clone() },
        JoinEvidence { tls_public: cut(&whole.tls_public), ..whole.clone() },
    ];
    for evidence in spoilt {
        assert_eq!(denied(&fixture, &evidence), Reason::Malformed);
    }
}

/// Runs `spoil` on each of the three attestations in turn.
fn each_attestation(fixture: &Fixture, spoil: impl Fn(&Attested) -> Attested, reason: Reason) {
    let whole = fixture.evidence();
    let spoilt = [
        JoinEvidence { certify_tls: spoil(&whole.certify_tls), ..whole.clone() },
        JoinEvidence { certify_srk: spoil(&whole.certify_srk), ..whole.clone() },
        JoinEvidence { quote: spoil(&whole.quote), ..whole.clone() },
    ];
    for evidence in spoilt {
        assert_eq!(denied(fixture, &evidence), reason);
    }
}

#[test]
fn line_9_an_ak_outside_the_endorsement_hierarchy_is_denied() {
    let fixture = Fixture::soft();
    let owner = fixture.tpm.ak.name().qualified_in_owner();
    let spoil =
        |whole: &Attested| fixture.resigned(&whole.attest, |attest| attest.qualified_signer = owner.clone());
    each_attestation(&fixture, spoil, Reason::QualifiedSigner);
}

#[test]
fn line_9_an_endorsement_primary_is_accepted() {
    let fixture = Fixture::soft();
    let primary = fixture.tpm.ak.name().qualified_in_endorsement();
    let spoil = |whole: &Attested| {
        fixture.resigned(&whole.attest, |attest| attest.qualified_signer = primary.clone())
    };
    let whole = fixture.evidence();
    let evidence = JoinEvidence {
        certify_tls: spoil(&whole.certify_tls),
        certify_srk: spoil(&whole.certify_srk),
        quote: spoil(&whole.quote),
        ..whole
    };
    verify(&fixture.context(), &evidence).unwrap();
}

#[test]
fn line_10_wrong_magic_type_or_length_is_denied() {
    let fixture = Fixture::soft();
    let changed = |whole: &Attested, index: usize| Attested {
        attest: flipped(&whole.attest, index, 1),
        signature: whole.signature.clone(),
    };
    each_attestation(&fixture, |whole| changed(whole, 0), Reason::AttestationStructure);
    each_attestation(&fixture, |whole| changed(whole, 4), Reason::AttestationStructure);
    let longer = |whole: &Attested| Attested {
        attest: [whole.attest.as_slice(), &[0]].concat(),
        signature: whole.signature.clone(),
    };
    each_attestation(&fixture, longer, Reason::AttestationStructure);
}

#[test]
fn line_10_a_quote_does_not_stand_in_for_a_certification_nor_the_reverse() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let evidence = JoinEvidence { certify_tls: whole.quote.clone(), ..whole.clone() };
    assert_eq!(denied(&fixture, &evidence), Reason::AttestationStructure);
    let evidence = JoinEvidence { quote: whole.certify_srk.clone(), ..whole };
    assert_eq!(denied(&fixture, &evidence), Reason::AttestationStructure);
}

#[test]
fn line_11_an_attestation_for_another_transcript_is_denied() {
    let fixture = Fixture::soft();
    let spoil = |whole: &Attested| fixture.resigned(&whole.attest, |attest| attest.extra_data[0] ^= 1);
    each_attestation(&fixture, spoil, Reason::AttestationFreshness);
}

#[test]
fn line_11_everything_that_the_transcript_covers_is_bound() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let other = Fixture::soft().evidence();
    let moved = [
        JoinEvidence { challenge: holdfast_domain::ChallengeId::new([9; 16]), ..whole.clone() },
        JoinEvidence { nonce: [9; 32], ..whole.clone() },
        JoinEvidence { exporter: [9; 32], ..whole.clone() },
        JoinEvidence { role: NodeRole::Registry, ..whole.clone() },
        JoinEvidence { ek_public: other.ek_public, ..whole.clone() },
        JoinEvidence { srk_public: other.srk_public, ..whole.clone() },
        JoinEvidence { tls_public: other.tls_public, csr: other.csr, ..whole.clone() },
        JoinEvidence { listener_csr: other.listener_csr, ..whole.clone() },
    ];
    for evidence in moved {
        assert_eq!(denied(&fixture, &evidence), Reason::AttestationFreshness);
    }
    let evidence = JoinEvidence { ak_public: other.ak_public, ..whole };
    assert_eq!(denied(&fixture, &evidence), Reason::AttestationSignature);
}

#[test]
fn line_11_a_signature_by_another_key_algorithm_or_over_other_bytes_is_denied() {
    let fixture = Fixture::soft();
    let other = SoftTpm::new().unwrap();
    let foreign =
        |whole: &Attested| other.sign(&crate::attest::Attest::parse(&whole.attest).unwrap()).unwrap();
    each_attestation(&fixture, foreign, Reason::AttestationSignature);
    for index in [0, 1, 3, 10, 60] {
        let spoil = |whole: &Attested| Attested {
            attest: whole.attest.clone(),
            signature: flipped(&whole.signature, index, 1),
        };
        each_attestation(&fixture, spoil, Reason::AttestationSignature);
    }
    let clock = |whole: &Attested| Attested {
        attest: flipped(&whole.attest, 80, 1),
        signature: whole.signature.clone(),
    };
    each_attestation(&fixture, clock, Reason::AttestationSignature);
}

#[test]
fn line_12_every_attribute_of_the_tls_key_is_compared() {
    let fixture = Fixture::soft();
    for (index, bit) in (4..8).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let tls_public = flipped(&fixture.evidence().tls_public, index, 1 << bit);
        let evidence = JoinEvidence { tls_public, ..fixture.evidence() };
        assert_eq!(denied(&fixture, &evidence), Reason::TlsKey);
    }
}

#[test]
fn lines_12_and_13_a_certification_of_another_key_is_denied() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let other = Name::parse(SoftTpm::new().unwrap().ak().name().as_bytes()).unwrap();
    let spoil = |attested: &Attested| {
        fixture.resigned(&attested.attest, |attest| {
            let Body::Certify { name, .. } = &mut attest.body else { panic!("a certification") };
            *name = other.clone();
        })
    };
    let evidence = JoinEvidence { certify_tls: spoil(&whole.certify_tls), ..whole.clone() };
    assert_eq!(denied(&fixture, &evidence), Reason::TlsKey);
    let evidence = JoinEvidence { certify_srk: spoil(&whole.certify_srk), ..whole.clone() };
    assert_eq!(denied(&fixture, &evidence), Reason::SrkKey);
    let evidence = JoinEvidence { certify_tls: whole.certify_srk.clone(), ..whole };
    assert_eq!(denied(&fixture, &evidence), Reason::TlsKey);
}

#[test]
fn lines_12_and_13_a_certified_key_with_another_parent_is_denied() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let spoil = |attested: &Attested| {
        fixture.resigned(&attested.attest, |attest| {
            let Body::Certify { name, qualified_name } = &mut attest.body else { panic!("a certification") };
            *qualified_name = name.qualified_in_endorsement();
        })
    };
    let evidence = JoinEvidence { certify_tls: spoil(&whole.certify_tls), ..whole.clone() };
    assert_eq!(denied(&fixture, &evidence), Reason::TlsKey);
    let evidence = JoinEvidence { certify_srk: spoil(&whole.certify_srk), ..whole };
    assert_eq!(denied(&fixture, &evidence), Reason::SrkKey);
}

#[test]
fn line_12_a_request_for_another_key_is_denied() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let evidence = JoinEvidence { csr: whole.listener_csr.clone(), ..whole };
    assert_eq!(denied(&fixture, &evidence), Reason::CertificateRequest);
}

#[test]
fn line_12_a_request_not_signed_by_its_own_key_is_denied() {
    /// Signs with one key and names another.
    struct Liar(SoftSigner, P256Public);
    impl Signer for Liar {
        fn public(&self) -> P256Public {
            self.1
        }
        fn sign(
            &self,
            message: &[u8],
        ) -> Result<holdfast_domain::Signature64, holdfast_keys::sign::SignError> {
            self.0.sign(message)
        }
    }
    let fixture = Fixture::soft();
    let forged = |key| crate::soft::csr::create(&Liar(SoftSigner::generate().unwrap(), key)).unwrap();
    let csr = forged(fixture.tpm.tls_signer().public());
    assert_eq!(denied(&fixture, &JoinEvidence { csr, ..fixture.evidence() }), Reason::CertificateRequest);
    let listener_csr = forged(fixture.tpm.listener());
    let evidence = JoinEvidence { listener_csr, ..fixture.evidence() };
    assert_eq!(denied(&fixture, &evidence), Reason::CertificateRequest);
}

#[test]
fn line_12_requests_that_do_not_parse_or_exceed_their_limit_are_denied() {
    let fixture = Fixture::soft();
    let longer = [fixture.evidence().csr.as_slice(), &[0]].concat();
    for (csr, reason) in [
        (longer, Reason::CertificateRequest),
        (Vec::new(), Reason::CertificateRequest),
        (vec![0x30; 5000], Reason::Malformed),
    ] {
        assert_eq!(denied(&fixture, &JoinEvidence { csr, ..fixture.evidence() }), reason);
    }
}

#[test]
fn line_13_every_attribute_of_the_srk_is_compared() {
    let fixture = Fixture::soft();
    for (index, bit) in (4..8).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let srk_public = flipped(&fixture.evidence().srk_public, index, 1 << bit);
        let evidence = JoinEvidence { srk_public, ..fixture.evidence() };
        assert_eq!(denied(&fixture, &evidence), Reason::SrkKey);
    }
}

#[test]
fn invariant_keys_of_one_role_do_not_pass_for_another() {
    let tpm = SoftTpm::new().unwrap();
    let areas = [tpm.ek.public(), tpm.ak.public(), tpm.srk.public(), tpm.tls.public()];
    for (index, area) in areas.iter().enumerate() {
        let area = |_| Public::parse(area.as_bytes()).unwrap();
        let roles = [
            crate::EkPublic::new(area(())).is_ok(),
            crate::AkPublic::new(area(())).is_ok(),
            crate::SrkPublic::new(area(())).is_ok(),
            crate::TlsPublic::new(area(())).is_ok(),
        ];
        let expected: [bool; 4] = std::array::from_fn(|role| role == index);
        assert_eq!(roles, expected);
    }
}
