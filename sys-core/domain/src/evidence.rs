//! What a joining machine shows of itself, kept whole so that replicas can verify it again before they wrap keys to it.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Signature64, admission::TicketPublic, hex_id::hex_id};

hex_id!(
    /// Names one challenge of one join.
    ChallengeId, 16
);

/// What a machine asks to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeRole {
    /// A member of the registry's group.
    Registry,
    /// A shard node.
    Node,
}

impl NodeRole {
    /// The role in transcripts, policies and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Node => "node",
        }
    }
}

impl std::fmt::Display for NodeRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for NodeRole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "registry" => Ok(Self::Registry),
            "node" => Ok(Self::Node),
            _ => Err("a role is `registry` or `node`"),
        }
    }
}

/// What stands behind a TPM's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TpmClass {
    /// An EK chain to a configured hardware root.
    Hardware,
    /// Everything else: whoever owns the state file owns it.
    Virtual,
}

/// PCRs of the SHA-256 bank, in ascending order, each once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct PcrSelection(Vec<u8>);

impl PcrSelection {
    /// Number of PCRs in a bank.
    pub const PCRS: u8 = 24;

    /// The indices.
    pub fn indices(&self) -> &[u8] {
        &self.0
    }

    /// TPMS_PCR_SELECTION.pcrSelect: three bytes, bit n of byte n/8.
    pub fn bitmap(&self) -> [u8; 3] {
        let mut bits = 0u32;
        for index in &self.0 {
            bits |= 1 << index;
        }
        let [a, b, c, _] = bits.to_le_bytes();
        [a, b, c]
    }
}

/// A list of PCR indices that is empty, out of range, unsorted or repeats one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("PCR selection must be ascending indices from 0 to 23, each once, at least one")]
pub struct PcrSelectionError;

impl TryFrom<Vec<u8>> for PcrSelection {
    type Error = PcrSelectionError;

    fn try_from(indices: Vec<u8>) -> Result<Self, PcrSelectionError> {
        let ascending = indices.is_sorted_by(|a, b| a < b);
        let in_range = indices.last().is_some_and(|last| *last < Self::PCRS);
        if ascending && in_range { Ok(Self(indices)) } else { Err(PcrSelectionError) }
    }
}

impl From<PcrSelection> for Vec<u8> {
    fn from(selection: PcrSelection) -> Self {
        selection.0
    }
}

/// One PCR of the SHA-256 bank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PcrValue {
    /// Its index.
    pub index: u8,
    /// Its value.
    pub digest: [u8; 32],
}

/// A TPMS_ATTEST and its TPMT_SIGNATURE, as the TPM marshalled them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// A one-time ticket's signature over the join transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketProof {
    /// Which ticket.
    pub ticket: TicketPublic,
    /// Ed25519 over the transcript.
    pub signature: Signature64,
}

/// The transcript of one join: public areas, certifications and quote, with what they are bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinEvidence {
    /// The cluster that was joined.
    pub cluster: ClusterId,
    /// The challenge that was answered.
    pub challenge: ChallengeId,
    /// The challenge's nonce.
    pub nonce: [u8; 32],
    /// TLS exporter of the connection.
    pub exporter: [u8; 32],
    /// What the machine asked to be.
    pub role: NodeRole,
    /// TPMT_PUBLIC of the endorsement key.
    pub ek_public: Vec<u8>,
    /// The EK certificate, DER, as read from NV.
    pub ek_certificate: Option<Vec<u8>>,
    /// Intermediate certificates towards the vendor's root.
    pub ek_chain: Vec<Vec<u8>>,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: Vec<u8>,
    /// TPMT_PUBLIC of the storage root key.
    pub srk_public: Vec<u8>,
    /// TPMT_PUBLIC of the TLS key.
    pub tls_public: Vec<u8>,
    /// PKCS#10 for the TLS key.
    pub csr: Vec<u8>,
    /// PKCS#10 for the listener key.
    pub listener_csr: Vec<u8>,
    /// The PCRs that were asked for.
    pub selection: PcrSelection,
    /// Their values.
    pub pcrs: Vec<PcrValue>,
    /// Certify of the TLS key by the AK.
    pub certify_tls: Attested,
    /// Certify of the SRK by the AK.
    pub certify_srk: Attested,
    /// Quote by the AK.
    pub quote: Attested,
    /// The firmware's event log.
    pub event_log: Option<Vec<u8>>,
    /// Where a ticket admits.
    pub ticket: Option<TicketProof>,
}

/// Largest encoded evidence that anyone accepts, in bytes.
pub const MAX_EVIDENCE: usize = 256 * 1024;
