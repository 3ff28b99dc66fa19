//! Checklist lines 6 and 7, and the attribute halves of 12 and 13: the keys that the node claims.

use holdfast_domain::{JoinEvidence, Reason};

use super::ek;
use crate::denial::Denial;
use crate::public::Public;
use crate::roles::{AkPublic, EkPublic, SrkPublic, TlsPublic};
use crate::transcript::{Transcript, TranscriptParts};

/// AK, SRK and TLS key, each with exactly the attributes of its role.
pub(super) struct NodeKeys {
    pub(super) ak: AkPublic,
    pub(super) srk: SrkPublic,
    pub(super) tls: TlsPublic,
}

pub(super) fn read_ak(bytes: &[u8]) -> Result<AkPublic, Denial> {
    AkPublic::new(parse(bytes, Reason::AkAttributes)?)
        .map_err(|fault| Denial::new(Reason::AkAttributes, fault))
}

pub(super) fn read(evidence: &JoinEvidence) -> Result<NodeKeys, Denial> {
    let ak = read_ak(&evidence.ak_public)?;
    let srk = SrkPublic::new(parse(&evidence.srk_public, Reason::SrkKey)?)
        .map_err(|fault| Denial::new(Reason::SrkKey, fault))?;
    let tls = TlsPublic::new(parse(&evidence.tls_public, Reason::TlsKey)?)
        .map_err(|fault| Denial::new(Reason::TlsKey, fault))?;
    Ok(NodeKeys { ak, srk, tls })
}

/// The transcript that `evidence` is bound to.
///
/// # Errors
/// One of the four keys is not what its role demands.
pub fn transcript_of(evidence: &JoinEvidence) -> Result<Transcript, Denial> {
    let ek = ek::read(&evidence.ek_public)?;
    Ok(read(evidence)?.transcript(&ek, evidence))
}

impl NodeKeys {
    pub(super) fn transcript(&self, ek: &EkPublic, evidence: &JoinEvidence) -> Transcript {
        Transcript::new(&TranscriptParts {
            cluster: evidence.cluster,
            challenge: evidence.challenge,
            nonce: &evidence.nonce,
            exporter: &evidence.exporter,
            ek: ek.name(),
            ak: self.ak.name(),
            srk: self.srk.name(),
            tls: self.tls.name(),
            csr: &evidence.csr,
            listener_csr: &evidence.listener_csr,
            role: evidence.role,
        })
    }
}

fn parse(bytes: &[u8], reason: Reason) -> Result<Public, Denial> {
    Public::parse(bytes).map_err(|fault| Denial::of_public(reason, fault))
}
