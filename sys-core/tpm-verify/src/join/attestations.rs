//! Checklist lines 9 to 13: what the AK signed.

use holdfast_domain::{Attested, JoinEvidence, PcrSelection, Reason};

use super::keys::NodeKeys;
use crate::attest::{Attest, Body, ClockInfo};
use crate::denial::Denial;
use crate::name::Name;
use crate::roles::{AkPublic, EkPublic};
use crate::signature;
use crate::transcript::Transcript;

/// A quote that the AK made for this transcript.
pub(super) struct CheckedQuote {
    pub(super) selection: PcrSelection,
    pub(super) digest: [u8; 32],
    pub(super) clock: ClockInfo,
    pub(super) firmware_version: u64,
}

pub(super) fn check(
    evidence: &JoinEvidence,
    ek: &EkPublic,
    keys: &NodeKeys,
    transcript: &Transcript,
) -> Result<CheckedQuote, Denial> {
    let attester = Attester { ak: &keys.ak, qualified: possible_signers(ek, &keys.ak), transcript };
    let srk = keys.srk.name();
    let srk_qualified = srk.qualified_in_owner();
    attester.certify(&evidence.certify_srk, srk, &srk_qualified, Reason::SrkKey)?;
    let tls = keys.tls.name();
    attester.certify(&evidence.certify_tls, tls, &tls.qualified_under_key(&srk_qualified), Reason::TlsKey)?;
    attester.quote(&evidence.quote)
}

/// The AK's qualified names that fit the endorsement hierarchy: a child of the EK, or a primary of its own. Consistency only:
/// software can claim either, and it is the credential that proves where the AK lives.
fn possible_signers(ek: &EkPublic, ak: &AkPublic) -> [Name; 2] {
    let ek_qualified = ek.name().qualified_in_endorsement();
    [ak.name().qualified_under_key(&ek_qualified), ak.name().qualified_in_endorsement()]
}

struct Attester<'a> {
    ak: &'a AkPublic,
    qualified: [Name; 2],
    transcript: &'a Transcript,
}

impl Attester<'_> {
    /// The object of this Name and qualified name is in the TPM.
    fn certify(
        &self,
        attested: &Attested,
        name: &Name,
        qualified: &Name,
        reason: Reason,
    ) -> Result<(), Denial> {
        match self.attest(attested)?.body {
            Body::Certify { name: certified, .. } if certified != *name => {
                Err(Denial::new(reason, "another key is certified"))
            }
            Body::Certify { qualified_name, .. } if qualified_name != *qualified => {
                Err(Denial::new(reason, "the certified key has another parent"))
            }
            Body::Certify { .. } => Ok(()),
            Body::Quote { .. } => {
                Err(Denial::new(Reason::AttestationStructure, "a quote is no certification"))
            }
        }
    }

    fn quote(&self, attested: &Attested) -> Result<CheckedQuote, Denial> {
        let Attest { clock, firmware_version, body, .. } = self.attest(attested)?;
        match body {
            Body::Quote { selection, digest } => {
                Ok(CheckedQuote { selection, digest, clock, firmware_version })
            }
            Body::Certify { .. } => {
                Err(Denial::new(Reason::AttestationStructure, "a certification is no quote"))
            }
        }
    }

    /// Well-formed, signed by the AK, made for this transcript, by a key of the claimed hierarchy.
    fn attest(&self, attested: &Attested) -> Result<Attest, Denial> {
        let attest = Attest::parse(&attested.attest)
            .map_err(|fault| Denial::new(Reason::AttestationStructure, fault))?;
        let signature = signature::parse(&attested.signature)
            .map_err(|fault| Denial::new(Reason::AttestationSignature, fault))?;
        self.ak
            .key()
            .verify_raw(&attested.attest, &signature)
            .map_err(|fault| Denial::new(Reason::AttestationSignature, fault))?;
        if attest.extra_data != self.transcript.as_bytes() {
            return Err(Denial::new(Reason::AttestationFreshness, "extraData is not this join's transcript"));
        }
        if !self.qualified.contains(&attest.qualified_signer) {
            return Err(Denial::new(Reason::QualifiedSigner, "the AK is not in the endorsement hierarchy"));
        }
        Ok(attest)
    }
}
