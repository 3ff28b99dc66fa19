//! The four keys of a node, each a proof that its public area is exactly what the role demands. A restricted key that could also
//! sign outside data would let its owner forge attestations; hence every attribute, algorithm and policy is compared, none masked.

use holdfast_domain::{ClusterId, EkHash, NodeId};
use holdfast_keys::P256Public;

use crate::alg::HashAlg;
use crate::name::Name;
use crate::public::{EccPoint, EccScheme, Key, Public, Symmetric};

/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt: EK templates of the low range.
pub const EK_LOW_ATTRIBUTES: u32 = 0x0003_00b2;
/// The same and userWithAuth: EK templates of the high range.
pub const EK_HIGH_ATTRIBUTES: u32 = 0x0003_00f2;
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
pub const AK_ATTRIBUTES: u32 = 0x0005_0072;
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt.
pub const SRK_ATTRIBUTES: u32 = 0x0003_0472;
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, sign.
pub const TLS_ATTRIBUTES: u32 = 0x0004_0472;

/// PolicyA with SHA-256: PolicySecret(endorsement). TCG EK Credential Profile 2.x, B.6.2.
pub(crate) const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// PolicyB with SHA-256: PolicyA or a policy kept in NV.
const POLICY_B_SHA256: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3, 0xa3,
    0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];
/// PolicyB with SHA-384.
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07,
    0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47,
    0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

/// A key whose public area is not exactly what its role demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// `TPMA_OBJECT` differs.
    #[error("attributes {0:#010x} are not the required ones")]
    Attributes(u32),
    /// Type, curve, hash, cipher or scheme differs.
    #[error("algorithms are not the required ones")]
    Algorithms,
    /// The policy digest differs.
    #[error("policy is not the required one")]
    Policy,
}

/// Defines a view over a checked [`Public`].
macro_rules! role {
    ($(#[$meta:meta])* $name:ident, $($field:ident: $type:ty)?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            public: Public,
            name: Name,
            $($field: $type,)?
        }

        impl $name {
            /// The public area.
            #[must_use]
            pub fn public(&self) -> &Public {
                &self.public
            }

            /// The key's Name.
            #[must_use]
            pub fn name(&self) -> &Name {
                &self.name
            }

            $(
                /// The public key.
                #[must_use]
                pub fn $field(&self) -> &$type {
                    &self.$field
                }
            )?
        }
    };
}

role!(
    /// An endorsement key of a TCG template: L-1, L-2, H-1, H-2 or H-3.
    EkPublic, spki_der: Vec<u8>
);
role!(
    /// An attestation key: restricted, signs with ECDSA P-256/SHA-256.
    AkPublic, key: P256Public
);
role!(
    /// A storage root key: P-256, AES-128-CFB.
    SrkPublic,
);
role!(
    /// A node's TLS key: P-256, signs anything with ECDSA/SHA-256.
    TlsPublic, key: P256Public
);

impl EkPublic {
    /// Checks that `public` is a known EK template.
    ///
    /// # Errors
    /// See [`RoleError`].
    pub fn new(public: Public) -> Result<Self, RoleError> {
        let low = match public.attributes() {
            EK_LOW_ATTRIBUTES => true,
            EK_HIGH_ATTRIBUTES => false,
            other => return Err(RoleError::Attributes(other)),
        };
        let policy: &[u8] = match (public.key(), public.name_alg()) {
            (Key::Rsa { symmetric: Symmetric::Aes128Cfb, .. }, HashAlg::Sha256) => policy_sha256(low),
            (
                Key::Ecc {
                    symmetric: Symmetric::Aes128Cfb,
                    scheme: EccScheme::Null,
                    point: EccPoint::P256(_),
                },
                HashAlg::Sha256,
            ) => policy_sha256(low),
            (
                Key::Ecc {
                    symmetric: Symmetric::Aes256Cfb,
                    scheme: EccScheme::Null,
                    point: EccPoint::P384(_),
                },
                HashAlg::Sha384,
            ) if !low => &POLICY_B_SHA384,
            _ => return Err(RoleError::Algorithms),
        };
        if public.auth_policy() != policy {
            return Err(RoleError::Policy);
        }
        let spki_der = public.spki_der().ok_or(RoleError::Algorithms)?;
        Ok(Self { name: public.name(), public, spki_der })
    }

    /// SHA-256 of the SPKI: how operators name this TPM.
    #[must_use]
    pub fn hash(&self) -> EkHash {
        EkHash::of_spki(&self.spki_der)
    }

    /// The id that this TPM has in a cluster, for ever.
    #[must_use]
    pub fn node_id(&self, cluster: ClusterId) -> NodeId {
        NodeId::derive(cluster, &self.spki_der)
    }
}

impl AkPublic {
    /// Checks that `public` is an attestation key.
    ///
    /// # Errors
    /// See [`RoleError`].
    pub fn new(public: Public) -> Result<Self, RoleError> {
        let key = require(&public, AK_ATTRIBUTES, Symmetric::Null, EccScheme::Ecdsa(HashAlg::Sha256))?;
        Ok(Self { name: public.name(), public, key })
    }
}

impl SrkPublic {
    /// Checks that `public` is a storage root key.
    ///
    /// # Errors
    /// See [`RoleError`].
    pub fn new(public: Public) -> Result<Self, RoleError> {
        require(&public, SRK_ATTRIBUTES, Symmetric::Aes128Cfb, EccScheme::Null)?;
        Ok(Self { name: public.name(), public })
    }
}

impl TlsPublic {
    /// Checks that `public` is a node's TLS key.
    ///
    /// # Errors
    /// See [`RoleError`].
    pub fn new(public: Public) -> Result<Self, RoleError> {
        let key = require(&public, TLS_ATTRIBUTES, Symmetric::Null, EccScheme::Ecdsa(HashAlg::Sha256))?;
        Ok(Self { name: public.name(), public, key })
    }
}

fn policy_sha256(low: bool) -> &'static [u8] {
    if low { &POLICY_A_SHA256 } else { &POLICY_B_SHA256 }
}

/// A P-256 key with SHA-256 names and no policy, of exactly these attributes, cipher and scheme.
fn require(
    public: &Public,
    attributes: u32,
    cipher: Symmetric,
    signs: EccScheme,
) -> Result<P256Public, RoleError> {
    if public.attributes() != attributes {
        return Err(RoleError::Attributes(public.attributes()));
    }
    if !public.auth_policy().is_empty() {
        return Err(RoleError::Policy);
    }
    match (public.name_alg(), public.key()) {
        (HashAlg::Sha256, Key::Ecc { symmetric, scheme, point: point @ EccPoint::P256(_) })
            if *symmetric == cipher && *scheme == signs =>
        {
            P256Public::from_sec1(&point.to_sec1()).map_err(|_| RoleError::Algorithms)
        }
        _ => Err(RoleError::Algorithms),
    }
}
