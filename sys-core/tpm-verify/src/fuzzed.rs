//! No parser of outside bytes panics, on noise or on valid input with flipped bits; and no flipped bit of evidence is accepted.

use std::sync::LazyLock;

use holdfast_domain::{CredentialBlob, JoinEvidence, PcrValue, codec, evidence::MAX_EVIDENCE};
use proptest::prelude::*;

use crate::attest::Attest;
use crate::ek_certificate::{EkCertificate, EkRoots, certificate_from_nv, chain_from_nv};
use crate::import::ImportBlob;
use crate::testing::{EK_P384, EK_P384_CERT, EK_RSA, EK_RSA_CERT, Fixture, INTERMEDIATE, NOW, ROOT, ek};
use crate::{Credential, EkPublic, Name, Public, event_log, join, pcr, signature};

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::soft);
static EVIDENCE: LazyLock<JoinEvidence> = LazyLock::new(|| FIXTURE.evidence());

/// Every parser of the crate, on the same bytes.
fn parse_all(bytes: &[u8]) {
    if let Ok(public) = Public::parse(bytes) {
        let _ = (public.name(), public.spki_der(), EkPublic::new(public));
    }
    let _ = Attest::parse(bytes);
    let _ = signature::parse(bytes);
    let _ = pcr::parse_selection(bytes);
    let _ = Name::parse(bytes);
    let _ = Credential::from_parts(bytes.to_vec(), bytes.to_vec());
    let _ = Credential::try_from(&CredentialBlob { id_object: bytes.to_vec(), enc_secret: bytes.to_vec() });
    let _ = ImportBlob::parse(bytes);
    let _ = certificate_from_nv(bytes);
    let _ = chain_from_nv(bytes);
    let _ = EkRoots::new(&[bytes]);
    let _ = FIXTURE.roots.chain(bytes, &[bytes.to_vec()], NOW);
    let _ = event_log::replay(bytes, &[PcrValue { index: 0, digest: [0; 32] }]);
    if let Ok(certificate) = EkCertificate::parse(bytes) {
        let _ = certificate.certifies(&FIXTURE.tpm.ek);
    }
}

/// Valid input of every parser.
fn samples() -> Vec<Vec<u8>> {
    let evidence = &*EVIDENCE;
    let target =
        crate::TpmTarget { ek: FIXTURE.tpm.ek(), ak_name: FIXTURE.tpm.ak().name(), srk: &FIXTURE.tpm.srk };
    let policy = crate::policy::pcr_policy(&evidence.selection, &evidence.pcrs).unwrap();
    let blob = crate::import::seal(target.srk, &policy, &[1; 32]).unwrap();
    vec![
        EK_RSA.to_vec(),
        EK_P384.to_vec(),
        EK_RSA_CERT.to_vec(),
        EK_P384_CERT.to_vec(),
        INTERMEDIATE.to_vec(),
        ROOT.to_vec(),
        [INTERMEDIATE, ROOT].concat(),
        evidence.ak_public.clone(),
        evidence.srk_public.clone(),
        evidence.csr.clone(),
        evidence.quote.attest.clone(),
        evidence.quote.signature.clone(),
        evidence.certify_tls.attest.clone(),
        pcr::selection_to_tpm(&evidence.selection),
        FIXTURE.tpm.ak().name().as_bytes().to_vec(),
        blob.obj_public.clone(),
        blob.to_bytes().unwrap(),
        crate::event_log::sample().0,
    ]
}

static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(samples);

fn flip(bytes: &mut [u8], at: prop::sample::Index, bit: u8) {
    if !bytes.is_empty() {
        bytes[at.index(bytes.len())] ^= 1 << bit;
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        parse_all(&bytes);
    }

    #[test]
    fn flipped_bits_and_cuts_never_panic(
        sample: prop::sample::Index,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..4),
        cut: Option<prop::sample::Index>,
    ) {
        let mut bytes = SAMPLES[sample.index(SAMPLES.len())].clone();
        for (at, bit) in flips {
            flip(&mut bytes, at, bit);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        parse_all(&bytes);
    }

    #[test]
    fn invariant_no_flipped_bit_of_evidence_is_accepted(at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = codec::encode(&*EVIDENCE).unwrap();
        flip(&mut bytes, at, bit);
        if let Ok(evidence) = codec::decode::<JoinEvidence>(&bytes, MAX_EVIDENCE) {
            prop_assert!(join::verify(&FIXTURE.context(), &evidence).is_err());
        }
    }

    #[test]
    fn evidence_of_noise_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        field in 0usize..13,
    ) {
        let mut evidence = JoinEvidence {
            ek_certificate: Some(EK_RSA_CERT.to_vec()),
            ek_chain: vec![INTERMEDIATE.to_vec()],
            event_log: Some(crate::event_log::sample().0),
            ..EVIDENCE.clone()
        };
        match field {
            0 => evidence.ek_public = noise,
            1 => evidence.ek_certificate = Some(noise),
            2 => evidence.ek_chain = vec![noise; 3],
            3 => evidence.ak_public = noise,
            4 => evidence.srk_public = noise,
            5 => evidence.tls_public = noise,
            6 => evidence.csr = noise,
            7 => evidence.listener_csr = noise,
            8 => evidence.certify_tls.attest = noise,
            9 => evidence.certify_srk.signature = noise,
            10 => evidence.quote.attest = noise,
            11 => evidence.quote.signature = noise,
            _ => evidence.event_log = Some(noise),
        }
        prop_assert!(join::verify(&FIXTURE.context(), &evidence).is_err());
    }

    #[test]
    fn public_areas_that_parse_keep_their_bytes(sample in 0usize..2, at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = [EK_RSA, EK_P384][sample].to_vec();
        let before = ek(&bytes).name().clone();
        flip(&mut bytes, at, bit);
        if let Ok(public) = Public::parse(&bytes) {
            prop_assert_eq!(public.as_bytes(), bytes.as_slice());
            prop_assert_ne!(public.name(), before);
        }
    }
}
