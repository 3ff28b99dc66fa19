//! KDFa and KDFe of TPM 2.0 part 1, 11.4.10. Always one block or whole blocks of the hash; outputs are wiped.

use zeroize::Zeroizing;

use crate::alg::HashAlg;

/// KDFa: HMAC in counter mode. `bits` must be a multiple of 8; labels end with a zero byte here, not at the caller's.
pub(crate) fn kdf_a(
    hash: HashAlg,
    key: &[u8],
    label: &str,
    context_u: &[u8],
    context_v: &[u8],
    bits: u16,
) -> Zeroizing<Vec<u8>> {
    let wanted = usize::from(bits / 8);
    let mut out = Zeroizing::new(Vec::with_capacity(wanted.saturating_add(64)));
    let mut counter = 1u32;
    while out.len() < wanted {
        let block = hash.hmac(
            key,
            &[
                &counter.to_be_bytes(),
                label.as_bytes(),
                &[0],
                context_u,
                context_v,
                &u32::from(bits).to_be_bytes(),
            ],
        );
        out.extend_from_slice(&block);
        counter = counter.saturating_add(1);
    }
    out.truncate(wanted);
    out
}

/// KDFe for one digest's worth of output: all that seeds need.
pub(crate) fn kdf_e(
    hash: HashAlg,
    z: &[u8],
    label: &str,
    party_u: &[u8],
    party_v: &[u8],
) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(hash.digest(&[&1u32.to_be_bytes(), z, label.as_bytes(), &[0], party_u, party_v]))
}
