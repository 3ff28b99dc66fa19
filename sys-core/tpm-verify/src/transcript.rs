//! The join transcript T: every attestation, the challenge's answer and the ticket are made over it, so none of them can be moved
//! to another connection, challenge, key or role.

use holdfast_domain::{ChallengeId, ClusterId, NodeRole, Sha256Hash};

use crate::name::Name;
use crate::prefixed::sha256_prefixed;

/// SHA-256 over everything a join is bound to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

/// What goes into a transcript. Both sides fill it in from what they saw themselves.
#[derive(Clone, Copy, Debug)]
pub struct TranscriptParts<'a> {
    /// The cluster to join.
    pub cluster: ClusterId,
    /// The challenge that is answered.
    pub challenge: ChallengeId,
    /// Its nonce.
    pub nonce: &'a [u8; 32],
    /// TLS exporter of this connection.
    pub exporter: &'a [u8; 32],
    /// Name of the endorsement key.
    pub ek: &'a Name,
    /// Name of the attestation key.
    pub ak: &'a Name,
    /// Name of the storage root key.
    pub srk: &'a Name,
    /// Name of the TLS key.
    pub tls: &'a Name,
    /// PKCS#10 for the TLS key.
    pub csr: &'a [u8],
    /// PKCS#10 for the listener key.
    pub listener_csr: &'a [u8],
    /// The role that is asked for.
    pub role: NodeRole,
}

impl Transcript {
    /// Hashes the parts.
    #[must_use]
    pub fn new(parts: &TranscriptParts<'_>) -> Self {
        let TranscriptParts {
            cluster,
            challenge,
            nonce,
            exporter,
            ek,
            ak,
            srk,
            tls,
            csr,
            listener_csr,
            role,
        } = parts;
        let csr = Sha256Hash::of(csr);
        let listener_csr = Sha256Hash::of(listener_csr);
        Self(sha256_prefixed(&[
            b"join/v1",
            cluster.as_bytes(),
            challenge.as_bytes(),
            *nonce,
            *exporter,
            ek.as_bytes(),
            ak.as_bytes(),
            srk.as_bytes(),
            tls.as_bytes(),
            csr.as_bytes(),
            listener_csr.as_bytes(),
            role.as_str().as_bytes(),
        ]))
    }

    /// The qualifying data of certifications and quote.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transcript({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_transcript_is_made_again() {
        let name = |byte: u8| Name::parse(&[&[0, 0x0b][..], &[byte; 32]].concat()).unwrap();
        let transcript = Transcript::new(&TranscriptParts {
            cluster: ClusterId::new([1; 16]),
            challenge: ChallengeId::new([2; 16]),
            nonce: &[3; 32],
            exporter: &[4; 32],
            ek: &name(5),
            ak: &name(6),
            srk: &name(7),
            tls: &name(8),
            csr: b"csr",
            listener_csr: b"listener csr",
            role: NodeRole::Node,
        });
        // Computed independently over the length-prefixed fields.
        assert_eq!(
            hex::encode(transcript.as_bytes()),
            "29c6a19f7624979d087b1328356fcf5555b2b31725c75a61854adf11b7f808e1"
        );
    }
}
