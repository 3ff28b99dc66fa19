//! What a voter computes for one join, beside the bare signature verifications in it.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use holdfast_domain::JoinEvidence;
use holdfast_keys::{P256Public, Signer as _, SoftSigner};
use holdfast_tpm_verify::{ek_certificate::certificate_from_nv, soft::cost::CostSample};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::Setting;
use crate::{
    figure::Figure,
    measure::turns::{self, Count, Pair},
};

/// Three attestations and two certificate requests.
const P256_SIGNATURES: usize = 5;

/// The EK's certificate and its issuer's, both signed with RSA.
const CHAIN_SIGNATURES: usize = 2;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let cost = verifier(setting.span)?;
    let name =
        format!("{P256_SIGNATURES} P-256 and {CHAIN_SIGNATURES} RSA signatures verified, nothing else");
    Ok(vec![Figure::new("join: verifier CPU", "us", cost.ours).against(cost.reference, name)])
}

/// Challenge, answer and checklist, beside the bare signatures.
pub(crate) fn verifier(span: Duration) -> anyhow::Result<Pair> {
    let sample = CostSample::new()?;
    let evidence = sample.evidence();
    let signer = SoftSigner::generate()?;
    let signature = signer.sign(&evidence.quote.attest)?;
    let signed = (signer.public(), signature);
    let certificate = Certificate::of(evidence)?;
    let mut floor = || {
        for _ in 0..P256_SIGNATURES {
            P256Public::verify_raw(&signed.0, &evidence.quote.attest, &signed.1)?;
        }
        (0..CHAIN_SIGNATURES).try_for_each(|_| certificate.verify())
    };
    let mut join = || {
        let challenge = sample.challenge()?;
        sample.answer(challenge.secret)?;
        sample.verify()?;
        Ok(())
    };
    turns::compare(span, Count::Thread, &mut join, &mut floor)
}

/// The EK's certificate and its issuer's, parsed.
struct Certificate<'a> {
    leaf: X509Certificate<'a>,
    issuer: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    fn of(evidence: &'a JoinEvidence) -> anyhow::Result<Self> {
        let leaf = evidence.ek_certificate.as_ref().context("the sample has a certificate")?;
        let issuer = evidence.ek_chain.first().context("the sample has a chain")?;
        let parse = |der| X509Certificate::from_der(der).map(|(_, parsed)| parsed);
        let leaf = certificate_from_nv(leaf)?;
        Ok(Self {
            leaf: parse(leaf).map_err(|error| anyhow!("EK certificate: {error}"))?,
            issuer: parse(issuer).map_err(|error| anyhow!("issuer: {error}"))?,
        })
    }

    fn verify(&self) -> anyhow::Result<()> {
        let verified = self.leaf.verify_signature(Some(self.issuer.public_key()));
        verified.map_err(|error| anyhow!("EK certificate's signature: {error}"))
    }
}
