use proptest::prelude::*;

use super::*;

fn secret() -> RecoverySecret {
    RecoverySecret::from_bytes([0x42; 32])
}

#[test]
fn a_frozen_sealed_value_still_opens() {
    let sealed = hex::decode(include_str!("../../frozen/recovery-seal-1.hex").trim()).unwrap();
    assert_eq!(*secret().open(b"info", &sealed).unwrap(), b"plain");
}

/// RFC 7748, section 6.1, Alice's keys.
#[test]
fn the_public_half_is_the_x25519_one() {
    let mut private = [0; 32];
    hex::decode_to_slice("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", &mut private)
        .unwrap();
    let public = RecoverySecret::from_bytes(private).public();
    assert_eq!(
        hex::encode(public.as_bytes()),
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    );
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let sealed = seal_to_recovery(&secret().public(), b"info", b"plain").unwrap();
    assert_eq!(sealed.len(), 5 + SEAL_OVERHEAD);
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // X25519 ignores the top bit of the encapsulated key, but HPKE hashes all of it into the secret.
        assert!(secret().open(b"info", &bad).is_err(), "bit {bit}");
    }
}

#[test]
fn another_key_or_info_is_refused() {
    let sealed = seal_to_recovery(&secret().public(), b"info", b"plain").unwrap();
    assert_eq!(secret().open(b"other", &sealed).err(), Some(RecoveryError::Refused));
    let other = RecoverySecret::generate().unwrap();
    assert_eq!(other.open(b"info", &sealed).err(), Some(RecoveryError::Refused));
}

#[test]
fn a_public_key_of_small_order_is_not_sealed_to() {
    let zero = RecoveryPublic::from_bytes(&[0; 32]).unwrap();
    assert_eq!(seal_to_recovery(&zero, b"", b"plain"), Err(RecoveryError::PublicKey));
}

#[test]
fn what_is_too_large_is_neither_sealed_nor_opened() {
    let large = vec![0; MAX_SEALED_PLAIN + 1];
    let sealed = seal_to_recovery(&secret().public(), b"", &large);
    assert_eq!(sealed, Err(RecoveryError::TooLarge(large.len())));
    let long = vec![1; MAX_SEALED_PLAIN + SEAL_OVERHEAD + 1];
    assert_eq!(secret().open(b"", &long).err(), Some(RecoveryError::TooLarge(long.len())));
}

#[test]
fn a_key_put_together_from_shares_opens_what_was_sealed_before() {
    let whole = RecoverySecret::generate().unwrap();
    let sealed = seal_to_recovery(&whole.public(), b"info", b"plain").unwrap();
    let mut shares = whole.split(3, 5).unwrap();
    shares.remove(0);
    shares.remove(2);
    let again = RecoverySecret::combine(&shares).unwrap();
    assert_eq!(*again.open(b"info", &sealed).unwrap(), b"plain");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_open(bytes: Vec<u8>) {
        prop_assert!(secret().open(b"", &bytes).is_err());
    }
}
