//! Certificate requests (PKCS#10): proof that whoever asks holds the key, and nothing more.
//!
//! Names and extensions of a request are never read: the issuer alone decides who a key speaks for.

use holdfast_keys::{ClientKey, Signer};
use rcgen::{CertificateParams, SigningKey};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::{
    SubjectKey,
    limits::MAX_CSR_LEN,
    remote_key::{RemoteEd25519, RemoteP256},
};

/// A request whose signature is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    key: SubjectKey,
}

/// Why bytes are no valid request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Over [`MAX_CSR_LEN`].
    #[error("a certificate request has at most {MAX_CSR_LEN} bytes, not {0}")]
    TooLong(usize),
    /// Not a PKCS#10 request, or bytes left over after it.
    #[error("not a PKCS#10 certificate request")]
    Malformed,
    /// A key that we do not certify.
    #[error("the requested key is neither P-256 nor Ed25519")]
    Key,
    /// Not signed by the key it asks for.
    #[error("the request is not signed by its own key")]
    Signature,
}

/// The key could not sign a request (a TPM failed).
#[derive(Debug, thiserror::Error)]
#[error("the key could not sign a certificate request")]
pub struct CreateError(#[source] rcgen::Error);

/// Makes a request for a P-256 key, in a TPM or in memory. Blocks as long as the signer does.
///
/// # Errors
/// [`CreateError`] when the signer fails.
pub fn create(signer: &dyn Signer) -> Result<Vec<u8>, CreateError> {
    request(&RemoteP256::new(signer))
}

/// Makes a request for an operator's or client's Ed25519 key.
///
/// # Errors
/// [`CreateError`] when encoding fails.
pub fn create_ed25519(key: &ClientKey) -> Result<Vec<u8>, CreateError> {
    request(&RemoteEd25519::new(key))
}

/// Reads a request and checks its signature.
///
/// # Errors
/// See [`CsrError`]. Nothing panics on any bytes.
pub fn parse(der: &[u8]) -> Result<Csr, CsrError> {
    if der.len() > MAX_CSR_LEN {
        return Err(CsrError::TooLong(der.len()));
    }
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed);
    }
    let spki = request.certification_request_info.subject_pki.raw;
    let key = SubjectKey::from_spki_der(spki).map_err(|_| CsrError::Key)?;
    request.verify_signature().map_err(|_| CsrError::Signature)?;
    Ok(Csr { key })
}

impl Csr {
    /// The key to certify.
    pub fn key(&self) -> &SubjectKey {
        &self.key
    }
}

fn request(key: &impl SigningKey) -> Result<Vec<u8>, CreateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(key).map(|request| request.der().to_vec()).map_err(CreateError)
}

#[cfg(test)]
mod tests {
    use holdfast_keys::SoftSigner;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_of_both_key_types_read_back() {
        let signer = SoftSigner::generate().unwrap();
        let csr = parse(&create(&signer).unwrap()).unwrap();
        assert_eq!(csr.key().to_spki_der(), signer.public().to_spki_der());
        let client = ClientKey::generate().unwrap();
        let csr = parse(&create_ed25519(&client).unwrap()).unwrap();
        assert!(csr.key().to_spki_der().ends_with(client.public().as_bytes()));
    }

    #[test]
    fn another_keys_signature_is_refused() {
        let mut der = create(&SoftSigner::generate().unwrap()).unwrap();
        let other = create(&SoftSigner::generate().unwrap()).unwrap();
        let tail = der.len() - 60;
        der.truncate(tail);
        der.extend_from_slice(&other[other.len() - 60..]);
        assert!(matches!(parse(&der), Err(CsrError::Signature | CsrError::Malformed)));
    }

    #[test]
    fn bytes_after_a_request_are_refused() {
        let mut der = create(&SoftSigner::generate().unwrap()).unwrap();
        der.push(0);
        assert_eq!(parse(&der), Err(CsrError::Malformed));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(parse(&bytes).is_err());
        }

        #[test]
        fn a_flipped_byte_never_yields_another_key(at in 0usize..300, flip in 1u8..) {
            let signer = SoftSigner::generate().unwrap();
            let mut der = create(&signer).unwrap();
            let at = at % der.len();
            der[at] ^= flip;
            if let Ok(csr) = parse(&der) {
                prop_assert_eq!(csr.key().to_spki_der(), signer.public().to_spki_der());
            }
        }
    }
}
