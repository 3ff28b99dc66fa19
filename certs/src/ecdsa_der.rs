//! ECDSA signatures in the form that TLS and X.509 want: `SEQUENCE { r INTEGER, s INTEGER }`.

/// Encodes the fixed-size form `r ‖ s` (two times 32 bytes, big-endian).
pub(crate) fn from_fixed(signature: &[u8; 64]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let body = [integer(r), integer(s)].concat();
    // At most 2 x 35 bytes: always the short form of a DER length.
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    let mut der = vec![0x30, length];
    der.extend(body);
    der
}

/// A non-negative INTEGER: no leading zeros but the one that keeps the sign bit clear.
fn integer(scalar: &[u8]) -> Vec<u8> {
    let skip = scalar.iter().take_while(|byte| **byte == 0).count().min(scalar.len().saturating_sub(1));
    let digits = scalar.get(skip..).unwrap_or_default();
    let sign = digits.first().is_some_and(|first| first & 0x80 != 0);
    let length = u8::try_from(digits.len()).unwrap_or(u8::MAX).saturating_add(u8::from(sign));
    let mut der = vec![0x02, length];
    if sign {
        der.push(0);
    }
    der.extend_from_slice(digits);
    der
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::der_parser::asn1_rs::{FromDer, Integer, Sequence};

    use super::*;

    #[test]
    fn zero_and_high_bits_have_the_one_der_form() {
        let mut signature = [0; 64];
        signature[63] = 0x80;
        assert_eq!(from_fixed(&signature), [0x30, 7, 0x02, 1, 0, 0x02, 2, 0, 0x80]);
    }

    proptest! {
        #[test]
        fn both_scalars_read_back(signature in prop::array::uniform32(any::<u8>()), s in prop::array::uniform32(any::<u8>())) {
            let mut fixed = [0; 64];
            fixed[..32].copy_from_slice(&signature);
            fixed[32..].copy_from_slice(&s);
            let der = from_fixed(&fixed);
            let (rest, sequence) = Sequence::from_der(&der).unwrap();
            prop_assert!(rest.is_empty());
            let (rest, first) = Integer::from_der(&sequence.content).unwrap();
            let (rest, second) = Integer::from_der(rest).unwrap();
            prop_assert!(rest.is_empty());
            let trimmed = |scalar: &[u8]| scalar.iter().copied().skip_while(|b| *b == 0).collect::<Vec<_>>();
            prop_assert_eq!(trimmed(first.as_ref()), trimmed(&signature));
            prop_assert_eq!(trimmed(second.as_ref()), trimmed(&s));
        }
    }
}
