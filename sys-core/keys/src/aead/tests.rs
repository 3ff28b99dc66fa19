use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> WrapKey {
    WrapKey::from_bytes([byte; 32])
}

/// The vectors of C2SP's XAES-256-GCM specification.
#[test]
fn sealing_matches_the_c2sp_vectors() {
    for (byte, aad, expected) in [
        (0x01, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (0x03, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ] {
        let nonce = Nonce(*b"ABCDEFGHIJKLMNOPQRSTUVWX");
        let sealed = seal_with(nonce, &key(byte), aad.as_bytes(), b"XAES-256-GCM").unwrap();
        assert_eq!(sealed[..24], *b"ABCDEFGHIJKLMNOPQRSTUVWX");
        assert_eq!(hex::encode(&sealed[24..]), expected);
        assert_eq!(open(&key(byte), aad.as_bytes(), &sealed).unwrap(), b"XAES-256-GCM");
    }
}

#[test]
fn a_frozen_value_still_opens() {
    let sealed = hex::decode(include_str!("../../frozen/aead-1.hex").trim()).unwrap();
    assert_eq!(open(&key(0x42), b"aad", &sealed).unwrap(), b"plain");
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let sealed = seal(&key(1), b"aad", b"some plain text").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&key(1), b"aad", &bad), Err(AeadError::Refused), "bit {bit}");
    }
}

#[test]
fn another_key_or_context_or_a_shortened_value_is_refused() {
    let sealed = seal(&key(1), b"aad", b"plain").unwrap();
    assert_eq!(open(&key(2), b"aad", &sealed), Err(AeadError::Refused));
    assert_eq!(open(&key(1), b"aae", &sealed), Err(AeadError::Refused));
    for len in 0..sealed.len() {
        assert_eq!(open(&key(1), b"aad", &sealed[..len]), Err(AeadError::Refused));
    }
}

#[test]
fn the_same_value_sealed_twice_differs() {
    assert_ne!(seal(&key(1), b"", b"plain").unwrap(), seal(&key(1), b"", b"plain").unwrap());
}

#[test]
fn a_batch_gives_as_many_distinct_nonces_as_it_drew() {
    let mut batch = NonceBatch::draw(3).unwrap();
    assert_eq!(batch.left(), 3);
    let nonces: std::collections::BTreeSet<_> = (0..3).map(|_| batch.take().unwrap().0).collect();
    assert_eq!((nonces.len(), batch.left()), (3, 0));
    assert_eq!(batch.take().err(), Some(AeadError::NoncesUsedUp));
    assert_eq!(NonceBatch::draw(MAX_BATCH + 1).err(), Some(AeadError::TooLarge(MAX_BATCH + 1)));
}

#[test]
fn the_etag_is_the_start_of_the_tag_and_needs_a_whole_value() {
    let sealed = seal(&key(1), b"", b"").unwrap();
    assert_eq!(etag(&sealed).unwrap(), sealed[24..32]);
    assert_eq!(tag(&sealed).unwrap(), sealed[24..]);
    assert_eq!(etag(&sealed[..39]), Err(AeadError::Refused));
}

proptest! {
    #[test]
    fn what_was_sealed_opens(aad: Vec<u8>, plain: Vec<u8>) {
        let sealed = seal(&key(1), &aad, &plain).unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD);
        prop_assert_eq!(open(&key(1), &aad, &sealed).unwrap(), plain);
    }

    #[test]
    fn arbitrary_bytes_never_open(bytes: Vec<u8>) {
        prop_assert_eq!(open(&key(1), b"", &bytes), Err(AeadError::Refused));
    }
}
