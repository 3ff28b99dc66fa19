//! From the machine's two messages to evidence, every part bounded before anything looks at it.

use bytes::Bytes;
use holdfast_domain::{
    Attested, ChallengeId, ClusterId, JoinEvidence, NodeId, NodeRole, PcrSelection, PcrValue, Reason,
    Signature64, TicketProof,
};
use holdfast_proto::registry::v1::{Attestation, JoinInit, Proof};
use holdfast_tpm_verify::limits::{
    ATTEST_MAX, CERTIFICATE_MAX, CHAIN_MAX, CSR_MAX, EVENT_LOG_MAX, PUBLIC_MAX, SIGNATURE_MAX,
};

use super::rejections::Rejected;

/// Longest description of a TPM.
const PROPERTIES_MAX: usize = 256;

/// A [`JoinInit`] within its limits.
#[derive(Debug, Clone)]
pub(super) struct Init {
    pub(super) role: NodeRole,
    pub(super) address: String,
    /// The id that it believes to have.
    pub(super) node: Option<NodeId>,
    pub(super) queue: bool,
    pub(super) ek_public: Bytes,
    pub(super) ak_public: Bytes,
    ek_certificate: Option<Bytes>,
    ek_chain: Vec<Bytes>,
    srk_public: Bytes,
    tls_public: Bytes,
    csr: Bytes,
    listener_csr: Bytes,
}

/// What this voter asked, and over which connection.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) cluster: ClusterId,
    pub(super) challenge: ChallengeId,
    pub(super) nonce: [u8; 32],
    pub(super) exporter: [u8; 32],
    pub(super) selection: PcrSelection,
}

impl Init {
    pub(super) fn read(init: JoinInit) -> Result<Self, Rejected> {
        let JoinInit {
            ek_public,
            ek_certificate,
            ek_chain,
            ak_public,
            srk_public,
            tls_public,
            csr,
            listener_csr,
            role,
            address,
            node_id,
            tpm_properties,
            queue,
        } = init;
        if ek_chain.len() > CHAIN_MAX || tpm_properties.len() > PROPERTIES_MAX {
            return Err(malformed("EK chain or TPM properties"));
        }
        let certificate = (!ek_certificate.is_empty()).then_some(ek_certificate);
        let node = if node_id.is_empty() { None } else { Some(id(&node_id, "node id")?) };
        Ok(Self {
            role: role.parse().map_err(malformed)?,
            address: bounded(address, holdfast_registry_state::limits::MAX_ADDRESS, "address")?,
            node,
            queue,
            ek_public: bounded(ek_public, PUBLIC_MAX, "EK")?,
            ak_public: bounded(ak_public, PUBLIC_MAX, "AK")?,
            ek_certificate: certificate
                .map(|der| bounded(der, CERTIFICATE_MAX, "EK certificate"))
                .transpose()?,
            ek_chain: ek_chain
                .into_iter()
                .map(|der| bounded(der, CERTIFICATE_MAX, "EK chain"))
                .collect::<Result<_, _>>()?,
            srk_public: bounded(srk_public, PUBLIC_MAX, "SRK")?,
            tls_public: bounded(tls_public, PUBLIC_MAX, "TLS key")?,
            csr: bounded(csr, CSR_MAX, "certificate request")?,
            listener_csr: bounded(listener_csr, CSR_MAX, "certificate request")?,
        })
    }

    /// The evidence, and the answer to the challenge.
    pub(super) fn answered(&self, asked: Asked, proof: Proof) -> Result<(JoinEvidence, Bytes), Rejected> {
        let Proof {
            challenge_id,
            credential_proof,
            ticket_public,
            ticket_signature,
            certify_tls,
            certify_srk,
            quote,
            pcr_values,
            event_log,
        } = proof;
        let Asked { cluster, challenge, nonce, exporter, selection } = asked;
        if challenge_id.as_ref() != challenge.as_bytes() {
            return Err(Rejected::of(Reason::ChallengeUnknown, "an answer to another challenge"));
        }
        let ticket = ticket(&ticket_public, &ticket_signature)?;
        let event_log = bounded(event_log, EVENT_LOG_MAX, "event log")?;
        let evidence = JoinEvidence {
            cluster,
            challenge,
            nonce,
            exporter,
            role: self.role,
            ek_public: self.ek_public.to_vec(),
            ek_certificate: self.ek_certificate.as_ref().map(|der| der.to_vec()),
            ek_chain: self.ek_chain.iter().map(|der| der.to_vec()).collect(),
            ak_public: self.ak_public.to_vec(),
            srk_public: self.srk_public.to_vec(),
            tls_public: self.tls_public.to_vec(),
            csr: self.csr.to_vec(),
            listener_csr: self.listener_csr.to_vec(),
            pcrs: pcrs(&selection, &pcr_values)?,
            selection,
            certify_tls: attested(certify_tls)?,
            certify_srk: attested(certify_srk)?,
            quote: attested(quote)?,
            event_log: (!event_log.is_empty()).then(|| event_log.to_vec()),
            ticket,
        };
        Ok((evidence, bounded(credential_proof, SIGNATURE_MAX, "credential proof")?))
    }
}

fn ticket(public: &[u8], signature: &[u8]) -> Result<Option<TicketProof>, Rejected> {
    if public.is_empty() && signature.is_empty() {
        return Ok(None);
    }
    let signature: [u8; 64] = signature.try_into().map_err(|_| malformed("ticket signature"))?;
    Ok(Some(TicketProof { ticket: id(public, "ticket")?, signature: Signature64(signature) }))
}

fn pcrs(selection: &PcrSelection, values: &[Bytes]) -> Result<Vec<PcrValue>, Rejected> {
    let indices = selection.indices();
    if indices.len() != values.len() {
        return Err(malformed("number of PCR values"));
    }
    let value = |(index, digest): (&u8, &Bytes)| {
        let digest = digest.as_ref().try_into().map_err(|_| malformed("PCR value"))?;
        Ok(PcrValue { index: *index, digest })
    };
    indices.iter().zip(values).map(value).collect()
}

fn attested(attestation: Option<Attestation>) -> Result<Attested, Rejected> {
    let Attestation { attest, signature } =
        attestation.ok_or_else(|| malformed("an attestation is missing"))?;
    Ok(Attested {
        attest: bounded(attest, ATTEST_MAX, "attestation")?.to_vec(),
        signature: bounded(signature, SIGNATURE_MAX, "attestation signature")?.to_vec(),
    })
}

fn id<'a, T: TryFrom<&'a [u8]>>(bytes: &'a [u8], what: &'static str) -> Result<T, Rejected> {
    T::try_from(bytes).map_err(|_| malformed(what))
}

fn bounded<T: AsRef<[u8]>>(value: T, max: usize, what: &'static str) -> Result<T, Rejected> {
    if value.as_ref().len() <= max { Ok(value) } else { Err(malformed(what)) }
}

fn malformed(what: impl std::fmt::Display) -> Rejected {
    Rejected::of(Reason::Malformed, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_messages_never_panic_and_never_exceed_their_limits(
            bytes in prop::collection::vec(any::<u8>(), 0..5000),
            role in "node|registry|x",
            count in 0usize..4,
        ) {
            let part = Bytes::from(bytes);
            let init = JoinInit {
                ek_public: part.clone(),
                ek_chain: vec![part.clone(); count],
                node_id: part.clone(),
                role,
                ..JoinInit::default()
            };
            let Ok(init) = Init::read(init.clone()).or_else(|_| Init::read(JoinInit {
                role: "node".into(),
                ..JoinInit::default()
            })) else { return Ok(()) };
            let asked = Asked {
                cluster: ClusterId::new([1; 16]),
                challenge: ChallengeId::new([2; 16]),
                nonce: [3; 32],
                exporter: [4; 32],
                selection: PcrSelection::try_from(vec![7]).unwrap(),
            };
            let attestation = Attestation { attest: part.clone(), signature: part.clone() };
            let proof = Proof {
                challenge_id: vec![2; 16].into(),
                credential_proof: part.clone(),
                pcr_values: vec![part.clone(); count],
                quote: Some(attestation),
                event_log: part,
                ..Proof::default()
            };
            prop_assert!(init.answered(asked, proof).is_err(), "two attestations are missing");
        }
    }
}
