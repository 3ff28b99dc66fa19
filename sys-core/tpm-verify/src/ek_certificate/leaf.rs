//! The EK certificate itself: strict DER, the EK usage, and the key it certifies.

use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{Oid, asn1_rs::oid};
use x509_parser::prelude::FromDer;

use crate::limits::CERTIFICATE_MAX;
use crate::public::Key;
use crate::roles::EkPublic;

/// `tcg-kp-EKCertificate`, 2.23.133.8.1, content octets.
pub(super) const EKU_DER: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// Why a certificate does not certify this EK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EkCertificateError {
    /// Not one DER certificate, or too long.
    #[error("not a certificate")]
    Malformed,
    /// It is not for endorsement keys.
    #[error("extended key usage 2.23.133.8.1 is missing")]
    Usage,
    /// It is a CA's certificate.
    #[error("a CA certificate certifies no EK")]
    Authority,
    /// It certifies another key.
    #[error("the certificate's key is not the EK")]
    OtherKey,
}

/// A certificate that says of itself to certify an EK; whether anyone vouches for it is [`super::EkRoots`]' business.
#[derive(Debug)]
pub struct EkCertificate<'a> {
    certificate: X509Certificate<'a>,
}

impl<'a> EkCertificate<'a> {
    /// Parses DER, the whole of it, and checks the usage.
    ///
    /// # Errors
    /// See [`EkCertificateError`].
    pub fn parse(der: &'a [u8]) -> Result<Self, EkCertificateError> {
        if der.len() > CERTIFICATE_MAX {
            return Err(EkCertificateError::Malformed);
        }
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| EkCertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(EkCertificateError::Malformed);
        }
        let malformed = |_| EkCertificateError::Malformed;
        let basic = certificate.basic_constraints().map_err(malformed)?;
        if basic.is_some_and(|basic| basic.value.ca) {
            return Err(EkCertificateError::Authority);
        }
        let usage = certificate.extended_key_usage().map_err(malformed)?;
        let ek_usage: Oid<'_> = oid!(2.23.133.8.1);
        if !usage.is_some_and(|usage| usage.value.other.contains(&ek_usage)) {
            return Err(EkCertificateError::Usage);
        }
        Ok(Self { certificate })
    }

    /// Checks that the certified key is this EK.
    ///
    /// # Errors
    /// [`EkCertificateError::OtherKey`].
    pub fn certifies(&self, ek: &EkPublic) -> Result<(), EkCertificateError> {
        let info = self.certificate.public_key();
        let same = match ek.public().key() {
            // Early RSA certificates say id-RSAES-OAEP instead of rsaEncryption: compare the key, not the algorithm's name.
            Key::Rsa { .. } => {
                let rsa = [oid!(1.2.840.113549.1.1.1), oid!(1.2.840.113549.1.1.7)];
                rsa.contains(&info.algorithm.algorithm)
                    && ek.spki_der().ends_with(&info.subject_public_key.data)
                    && info.subject_public_key.data.len() == RSA_PUBLIC_KEY_LEN
            }
            _ => info.raw == ek.spki_der().as_slice(),
        };
        if same { Ok(()) } else { Err(EkCertificateError::OtherKey) }
    }
}

/// `RSAPublicKey` of 2048 bits and exponent 65537.
const RSA_PUBLIC_KEY_LEN: usize = 270;
