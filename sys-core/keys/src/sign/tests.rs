use super::*;
use crate::labels;

fn key() -> SoftSigner {
    let pem = include_str!("../../frozen/p256-test-key.pem");
    SoftSigner::from_pkcs8_pem(pem).unwrap()
}

#[test]
fn a_signature_holds_for_its_label_bytes_and_key_only() {
    let key = key();
    let signature = sign_labelled(&key, labels::WRAP_ROW, b"row").unwrap();
    assert_eq!(key.public().verify(labels::WRAP_ROW, b"row", &signature), Ok(()));
    assert_eq!(key.public().verify(labels::SHARD_MAP, b"row", &signature), Err(SignatureRefused));
    assert_eq!(key.public().verify(labels::WRAP_ROW, b"rows", &signature), Err(SignatureRefused));
    let other = SoftSigner::generate().unwrap().public();
    assert_eq!(other.verify(labels::WRAP_ROW, b"row", &signature), Err(SignatureRefused));
}

#[test]
fn a_flipped_bit_in_the_signature_is_refused() {
    let key = key();
    let signature = sign_labelled(&key, labels::WRAP_ROW, b"row").unwrap();
    for bit in 0..512 {
        let mut bad = signature;
        bad.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key.public().verify(labels::WRAP_ROW, b"row", &bad), Err(SignatureRefused), "bit {bit}");
    }
    assert_eq!(key.public().verify(labels::WRAP_ROW, b"row", &Signature64([0; 64])), Err(SignatureRefused));
}

#[test]
fn a_frozen_signature_still_verifies() {
    let bytes = hex::decode(include_str!("../../frozen/p256-signature-1.hex").trim()).unwrap();
    let signature = Signature64(bytes.try_into().unwrap());
    assert_eq!(key().public().verify(labels::WRAP_ROW, b"row", &signature), Ok(()));
}

#[test]
fn a_key_reads_back_from_both_its_forms() {
    let key = SoftSigner::generate().unwrap();
    let der = SoftSigner::from_pkcs8_der(&key.expose_pkcs8_der().unwrap()).unwrap();
    let pem = SoftSigner::from_pkcs8_pem(&key.expose_pkcs8_pem().unwrap()).unwrap();
    assert_eq!(der.public(), key.public());
    assert_eq!(pem.public(), key.public());
    assert!(SoftSigner::from_pkcs8_der(b"nonsense").is_err());
}

#[test]
fn a_value_is_decoded_only_under_its_label() {
    let key = key();
    let signed = sign_value(&key, labels::ADMISSION, &(1_u32, "two".to_owned())).unwrap();
    assert_eq!(verify_value(&signed, &key.public(), labels::ADMISSION, 100), Ok((1, "two".to_owned())));
    let wrong = verify_value(&signed, &key.public(), labels::GENESIS, 100);
    assert_eq!(wrong, Err(VerifyError::Signature(SignatureRefused)));
    assert!(matches!(
        verify_value(&signed, &key.public(), labels::ADMISSION, 3),
        Err(VerifyError::Decode(_))
    ));
}
