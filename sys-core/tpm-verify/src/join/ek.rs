//! Checklist lines 1 to 3 and the class of line 15: the endorsement key and who vouches for it.

use holdfast_domain::{JoinEvidence, Reason, RootHash, TpmClass, TpmPolicy};

use super::context::VerifyContext;
use crate::denial::Denial;
use crate::ek_certificate::{EkCertificate, EkCertificateError, certificate_from_nv};
use crate::limits::{CERTIFICATE_MAX, CHAIN_MAX};
use crate::public::Public;
use crate::roles::EkPublic;

/// An EK of a known template, with the root that vouches for it.
pub(super) struct CheckedEk {
    pub(super) public: EkPublic,
    pub(super) anchor: Option<RootHash>,
    pub(super) class: TpmClass,
}

pub(super) fn read(bytes: &[u8]) -> Result<EkPublic, Denial> {
    let public = Public::parse(bytes).map_err(|fault| Denial::of_public(Reason::EkTemplate, fault))?;
    EkPublic::new(public).map_err(|fault| Denial::new(Reason::EkTemplate, fault))
}

pub(super) fn check(context: &VerifyContext<'_>, evidence: &JoinEvidence) -> Result<CheckedEk, Denial> {
    let public = read(&evidence.ek_public)?;
    let anchor = match &evidence.ek_certificate {
        Some(nv) => check_certificate(context, evidence, nv, &public)?,
        None => None,
    };
    let class = match (context.tpm_policy, anchor) {
        // All configured roots of such a cluster are hardware vendors'.
        (TpmPolicy::HardwareOnly, Some(_)) => TpmClass::Hardware,
        (TpmPolicy::HardwareOnly, None) => {
            return Err(Denial::new(Reason::TpmClass, "no EK certificate of a hardware TPM"));
        }
        // Its roots may be software TPMs' too, and a chain does not tell.
        (TpmPolicy::AdmitsVirtual, _) => TpmClass::Virtual,
    };
    Ok(CheckedEk { public, anchor, class })
}

/// The root that a certificate chains to. Where virtual TPMs are welcome, an unknown issuer is worth as much as no certificate:
/// the machine could have left it out.
fn check_certificate(
    context: &VerifyContext<'_>,
    evidence: &JoinEvidence,
    nv: &[u8],
    ek: &EkPublic,
) -> Result<Option<RootHash>, Denial> {
    let refuse = |fault: &dyn std::fmt::Display| Denial::new(Reason::EkCertificate, fault);
    let chain = &evidence.ek_chain;
    if nv.len() > CERTIFICATE_MAX
        || chain.len() > CHAIN_MAX
        || chain.iter().any(|der| der.len() > CERTIFICATE_MAX)
    {
        return Err(Denial::new(Reason::Malformed, "EK certificate chain exceeds its limits"));
    }
    let der = certificate_from_nv(nv).map_err(|fault| refuse(&fault))?;
    let certificate = EkCertificate::parse(der).map_err(|fault| refuse(&fault))?;
    certificate
        .certifies(ek)
        .map_err(|fault: EkCertificateError| Denial::new(Reason::EkCertificateKey, fault))?;
    match (context.ek_roots.chain(der, chain, context.now), context.tpm_policy) {
        (Ok(root), _) => Ok(Some(root)),
        (Err(_), TpmPolicy::AdmitsVirtual) => Ok(None),
        (Err(fault), TpmPolicy::HardwareOnly) => Err(refuse(&fault)),
    }
}
