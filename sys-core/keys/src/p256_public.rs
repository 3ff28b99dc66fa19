//! P-256 public keys: a point on the curve by construction, and verification under a label.

use holdfast_domain::{P256Point, Signature64, SpkiHash};
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};

use crate::{fixed_bytes::fixed_bytes_serde, labels::Label, sign};

/// Bytes of an uncompressed SEC1 point.
pub const SEC1_LEN: usize = 65;
/// Everything before the point in the one DER form of a P-256 SubjectPublicKeyInfo (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes that are no P-256 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Not an uncompressed point of the curve.
    #[error("not an uncompressed point on P-256")]
    Point,
    /// Not the DER of a P-256 key with a named curve and an uncompressed point.
    #[error("not a P-256 SubjectPublicKeyInfo")]
    Spki,
}

/// A signature that does not hold: wrong key, label, bytes or signature, not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct SignatureRefused;

/// A P-256 public key, as an uncompressed SEC1 point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct P256Public([u8; SEC1_LEN]);

impl P256Public {
    /// Reads an uncompressed SEC1 point.
    ///
    /// # Errors
    /// When it is not one, or not on the curve.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let point: [u8; SEC1_LEN] = bytes.try_into().map_err(|_| PublicKeyError::Point)?;
        VerifyingKey::from_sec1_bytes(&point).map_err(|_| PublicKeyError::Point)?;
        Ok(Self(point))
    }

    /// Reads the coordinates of a signed record.
    ///
    /// # Errors
    /// When they are not on the curve.
    pub fn from_point(point: &P256Point) -> Result<Self, PublicKeyError> {
        let P256Point { x, y } = point;
        Self::from_sec1(&[&[4], x.as_slice(), y].concat())
    }

    /// The coordinates, for a signed record.
    pub fn to_point(&self) -> P256Point {
        let mut point = P256Point { x: [0; 32], y: [0; 32] };
        let coordinates = point.x.iter_mut().chain(&mut point.y);
        coordinates.zip(self.0.iter().skip(1)).for_each(|(to, from)| *to = *from);
        point
    }

    /// Reads a SubjectPublicKeyInfo: named curve, uncompressed point, nothing after it.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        Self::from_sec1(der.strip_prefix(&SPKI_PREFIX).ok_or(PublicKeyError::Spki)?)
    }

    /// The SubjectPublicKeyInfo, in its one DER form.
    pub fn to_spki_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    /// SHA-256 of [`Self::to_spki_der`].
    pub fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of_der(&self.to_spki_der())
    }

    /// The uncompressed SEC1 point.
    pub const fn as_bytes(&self) -> &[u8; SEC1_LEN] {
        &self.0
    }

    /// Checks a signature over `bytes` under a label.
    ///
    /// # Errors
    /// [`SignatureRefused`], whatever the reason.
    pub fn verify(
        &self,
        label: Label,
        bytes: &[u8],
        signature: &Signature64,
    ) -> Result<(), SignatureRefused> {
        self.verify_raw(&sign::message(label, bytes), signature)
    }

    /// Checks a signature over a bare message, as a TPM or a certificate request makes them: ECDSA with SHA-256.
    ///
    /// # Errors
    /// [`SignatureRefused`], whatever the reason.
    pub fn verify_raw(&self, message: &[u8], signature: &Signature64) -> Result<(), SignatureRefused> {
        let key = VerifyingKey::from_sec1_bytes(&self.0).map_err(|_| SignatureRefused)?;
        let signature = Signature::from_slice(&signature.0).map_err(|_| SignatureRefused)?;
        key.verify(message, &signature).map_err(|_| SignatureRefused)
    }

    pub(crate) fn of(key: &VerifyingKey) -> Result<Self, PublicKeyError> {
        Self::from_sec1(key.to_sec1_point(false).as_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        Self::from_sec1(bytes)
    }
}

fixed_bytes_serde!(P256Public);

impl std::fmt::Debug for P256Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "P256Public({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sign::{Signer as _, SoftSigner};

    #[test]
    fn every_form_reads_back() {
        let key = SoftSigner::generate().unwrap().public();
        assert_eq!(P256Public::from_sec1(key.as_bytes()), Ok(key));
        assert_eq!(P256Public::from_spki_der(&key.to_spki_der()), Ok(key));
        assert_eq!(P256Public::from_point(&key.to_point()), Ok(key));
        let bytes = postcard::to_allocvec(&key).unwrap();
        assert_eq!(postcard::from_bytes::<P256Public>(&bytes).unwrap(), key);
    }

    #[test]
    fn the_spki_is_the_one_other_programs_write() {
        use p256::pkcs8::EncodePublicKey as _;
        let key = SoftSigner::generate().unwrap().public();
        let theirs = VerifyingKey::from_sec1_bytes(key.as_bytes()).unwrap().to_public_key_der().unwrap();
        assert_eq!(key.to_spki_der(), theirs.as_bytes());
    }

    #[test]
    fn a_point_off_the_curve_is_refused_in_every_form() {
        let key = SoftSigner::generate().unwrap().public();
        let mut sec1 = *key.as_bytes();
        sec1[64] ^= 1;
        assert_eq!(P256Public::from_sec1(&sec1), Err(PublicKeyError::Point));
        assert_eq!(
            P256Public::from_spki_der(&[SPKI_PREFIX.as_slice(), &sec1].concat()),
            Err(PublicKeyError::Point)
        );
        let bytes = postcard::to_allocvec(sec1.as_slice()).unwrap();
        assert!(postcard::from_bytes::<P256Public>(&bytes).is_err());
        assert!(P256Public::from_sec1(&[0]).is_err(), "the point at infinity");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = P256Public::from_spki_der(&bytes);
            let _ = P256Public::from_sec1(&bytes);
        }
    }
}
