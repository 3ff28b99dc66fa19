//! A point that was checked to lie on its curve.

use crate::alg::{ECC_P256, ECC_P384};
use crate::wire::{Malformed, left_pad};

/// A curve we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    pub(crate) fn from_id(id: u16) -> Result<Self, Malformed> {
        match id {
            ECC_P256 => Ok(Self::P256),
            ECC_P384 => Ok(Self::P384),
            _ => Err(Malformed::Unsupported("curve")),
        }
    }

    /// Bytes of one coordinate.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// A public point; never the point at infinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EccPoint {
    /// On P-256.
    P256(p256::PublicKey),
    /// On P-384.
    P384(p384::PublicKey),
}

impl EccPoint {
    /// Reads coordinates whose leading zeros may be missing.
    pub(crate) fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, Malformed> {
        let off_curve = |_| Malformed::Invalid("ECC point");
        match curve {
            Curve::P256 => {
                let sec1 = uncompressed::<32>(x, y)?;
                p256::PublicKey::from_sec1_bytes(&sec1).map(Self::P256).map_err(off_curve)
            }
            Curve::P384 => {
                let sec1 = uncompressed::<48>(x, y)?;
                p384::PublicKey::from_sec1_bytes(&sec1).map(Self::P384).map_err(off_curve)
            }
        }
    }

    /// The SEC1 uncompressed form: `04 ‖ x ‖ y`.
    #[must_use]
    pub fn to_sec1(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => uncompressed_p256(key),
            Self::P384(key) => uncompressed_p384(key),
        }
    }

    /// `(x, y)`, padded to the curve's size.
    pub(crate) fn coordinates(&self) -> (Vec<u8>, Vec<u8>) {
        let sec1 = self.to_sec1();
        let body = sec1.get(1..).unwrap_or_default();
        let (x, y) = body.split_at(body.len() / 2);
        (x.to_vec(), y.to_vec())
    }
}

fn uncompressed<const N: usize>(x: &[u8], y: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut sec1 = vec![4];
    sec1.extend_from_slice(&left_pad::<N>(x, "ECC x")?);
    sec1.extend_from_slice(&left_pad::<N>(y, "ECC y")?);
    Ok(sec1)
}

fn uncompressed_p256(key: &p256::PublicKey) -> Vec<u8> {
    use p256::elliptic_curve::sec1::ToSec1Point;
    key.to_sec1_point(false).as_bytes().to_vec()
}

fn uncompressed_p384(key: &p384::PublicKey) -> Vec<u8> {
    use p384::elliptic_curve::sec1::ToSec1Point;
    key.to_sec1_point(false).as_bytes().to_vec()
}
