//! Public areas of the keys that a node keeps in its TPM (the table in the join design). The verifier checks these
//! attributes bit for bit, so they are written out here and nowhere else in this crate.

use tss_esapi::Result;
use tss_esapi::abstraction::AsymmetricAlgorithmSelection;
use tss_esapi::abstraction::ek::create_ek_public_from_default_template_2;
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    EccParameter, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Public, PublicBuilder,
    PublicEccParametersBuilder, SymmetricDefinitionObject,
};

use crate::provision::EkKind;

/// Makes our AK another key than the one that other software derives from the same template.
const AK_UNIQUE: &[u8; 32] = b"holdfast attestation key v1.....";

/// TCG EK Credential Profile: templates L-1 (RSA-2048), L-2 (P-256) and H-3 (P-384).
pub(crate) fn endorsement_key(kind: EkKind) -> Result<Public> {
    let algorithm = match kind {
        EkKind::Rsa2048 => AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048),
        EkKind::EccP256 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
        EkKind::EccP384 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP384),
    };
    create_ek_public_from_default_template_2(algorithm, None)
}

/// Restricted signing key: signs only what the TPM itself made.
pub(crate) fn attestation_key() -> Result<Public> {
    let attributes = fixed().with_restricted(true).with_sign_encrypt(true).build()?;
    let unique = EccPoint::new(EccParameter::try_from(&AK_UNIQUE[..])?, EccParameter::try_from(vec![0; 32])?);
    p256(attributes, Use::Sign { restricted: true }, unique)
}

/// Storage root key: the parent of the TLS key and of every key wrapped to this node. 0x00030472.
pub(crate) fn storage_root_key() -> Result<Public> {
    let attributes = fixed().with_restricted(true).with_decrypt(true).with_no_da(true).build()?;
    let unique = EccPoint::new(EccParameter::try_from(vec![0; 32])?, EccParameter::try_from(vec![0; 32])?);
    p256(attributes, Use::Storage, unique)
}

/// The node's TLS key. 0x00040472.
pub(crate) fn tls_key() -> Result<Public> {
    let attributes = fixed().with_sign_encrypt(true).with_no_da(true).build()?;
    p256(attributes, Use::Sign { restricted: false }, EccPoint::default())
}

enum Use {
    Sign { restricted: bool },
    Storage,
}

fn fixed() -> ObjectAttributesBuilder {
    ObjectAttributes::builder()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
}

fn p256(attributes: ObjectAttributes, usage: Use, unique: EccPoint) -> Result<Public> {
    let parameters = PublicEccParametersBuilder::new()
        .with_curve(EccCurve::NistP256)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null);
    let parameters = match usage {
        Use::Sign { restricted } => parameters
            .with_symmetric(SymmetricDefinitionObject::Null)
            .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
            .with_is_signing_key(true)
            .with_is_decryption_key(false)
            .with_restricted(restricted),
        Use::Storage => parameters
            .with_symmetric(SymmetricDefinitionObject::AES_128_CFB)
            .with_ecc_scheme(EccScheme::Null)
            .with_is_signing_key(false)
            .with_is_decryption_key(true)
            .with_restricted(true),
    };
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(unique)
        .build()
}
