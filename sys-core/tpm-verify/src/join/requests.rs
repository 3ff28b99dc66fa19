//! Checklist line 12, the certificate requests: self-signed by the key they name, and nothing else in them counts.

use holdfast_domain::{JoinEvidence, Reason, Signature64};
use holdfast_keys::P256Public;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::prelude::FromDer;

use crate::denial::Denial;
use crate::limits::CSR_MAX;
use crate::roles::TlsPublic;

/// Checks both requests and returns the listener's key.
pub(super) fn check(evidence: &JoinEvidence, tls: &TlsPublic) -> Result<P256Public, Denial> {
    if request_key(&evidence.csr)? != *tls.key() {
        return Err(refuse("the request is not for the TLS key"));
    }
    request_key(&evidence.listener_csr)
}

/// The P-256 key of a PKCS#10 request that this very key signed.
fn request_key(der: &[u8]) -> Result<P256Public, Denial> {
    if der.len() > CSR_MAX {
        return Err(Denial::new(Reason::Malformed, "certificate request exceeds its limit"));
    }
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| refuse("not PKCS#10"))?;
    if !rest.is_empty() {
        return Err(refuse("bytes after the request"));
    }
    if request.signature_algorithm.algorithm != oid!(1.2.840.10045.4.3.2) {
        return Err(refuse("not signed with ECDSA and SHA-256"));
    }
    let info = &request.certification_request_info;
    let key = P256Public::from_spki_der(info.subject_pki.raw).map_err(refuse)?;
    let signature = p256::ecdsa::Signature::from_der(&request.signature_value.data).map_err(refuse)?;
    key.verify_raw(info.raw, &Signature64(signature.to_bytes().into())).map_err(refuse)?;
    Ok(key)
}

fn refuse(detail: impl std::fmt::Display) -> Denial {
    Denial::new(Reason::CertificateRequest, detail)
}
