//! The cluster's root, made once by genesis. Afterwards its key exists only as officers' shares.

use holdfast_domain::{ClusterId, Genesis, Signed, TrustDomain, UnixMs};
use holdfast_keys::{SignError, Signer as _, SoftSigner, labels, sign_value};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use crate::{
    Authority, AuthorityKind, IssueError, RootCertificate,
    authority::random_serial,
    extension::{write_authority_kind, write_cluster},
    limits::{AUTHORITY_LIFETIME_MS, ROOT_LIFETIME_MS},
    remote_key::RemoteP256,
    validity::Validity,
};

/// A root certificate together with its key.
pub struct RootCa {
    certificate: RootCertificate,
    key: SoftSigner,
}

impl RootCa {
    /// Makes a cluster's root.
    ///
    /// # Errors
    /// [`IssueError`] when no randomness is to be had or encoding fails.
    pub fn create(cluster: ClusterId, trust_domain: &TrustDomain, now: UnixMs) -> Result<Self, IssueError> {
        let key = SoftSigner::generate().map_err(IssueError::NoKey)?;
        let mut params = ca_params(trust_domain, 1)?;
        params.distinguished_name = name(cluster, "Holdfast root".to_owned());
        params.custom_extensions.push(write_cluster(cluster));
        Validity::starting(now, ROOT_LIFETIME_MS).write(&mut params);
        let der = params.self_signed(&RemoteP256::new(&key))?.der().to_vec();
        Ok(Self { certificate: RootCertificate::parse(&der)?, key })
    }

    /// Brings a root back from its certificate and its key, put together again by officers.
    ///
    /// # Errors
    /// [`IssueError`] when they do not belong together.
    pub fn restore(root_der: &[u8], key: SoftSigner) -> Result<Self, IssueError> {
        let certificate = RootCertificate::parse(root_der)?;
        let issued = crate::root_certificate::parse_x509(root_der).ok_or(IssueError::Parts)?;
        if issued.public_key().raw != key.public().to_spki_der() {
            return Err(IssueError::Parts);
        }
        Ok(Self { certificate, key })
    }

    /// The certificate.
    pub fn certificate(&self) -> &RootCertificate {
        &self.certificate
    }

    /// The certificate in DER.
    pub fn root_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// Signs the record that begins the cluster.
    ///
    /// # Errors
    /// When the record has no encoding: not in practice.
    pub fn sign_genesis(&self, genesis: &Genesis) -> Result<Signed<Genesis>, SignError> {
        sign_value(&self.key, labels::GENESIS, genesis)
    }

    /// Ends the key's life in this process and hands it over in PKCS#8, to be sealed for the officers.
    ///
    /// # Errors
    /// [`IssueError::KeyEncoding`]: not in practice.
    pub fn into_key_bytes(self) -> Result<Zeroizing<Vec<u8>>, IssueError> {
        self.key.expose_pkcs8_der().map_err(IssueError::KeyEncoding)
    }

    /// Makes an authority: a fresh key and a certificate with a Subject and key identifier of its own, so that
    /// generations never stand in for one another.
    ///
    /// # Errors
    /// [`IssueError`] when no randomness is to be had or encoding fails.
    pub fn sign_intermediate(
        &self,
        kind: AuthorityKind,
        generation: u32,
        now: UnixMs,
    ) -> Result<Authority, IssueError> {
        let key = SoftSigner::generate().map_err(IssueError::NoKey)?;
        let public = key.public();
        let role = match kind {
            AuthorityKind::Registry => "registry",
            AuthorityKind::Workload => "workload",
        };
        let key_hash = public.spki_hash().to_string();
        let short = key_hash.get(..16).unwrap_or(&key_hash);
        let mut params = ca_params(self.certificate.trust_domain(), 0)?;
        params.distinguished_name =
            name(self.certificate.cluster(), format!("Holdfast {role} authority {generation} {short}"));
        params.custom_extensions.push(write_authority_kind(kind));
        params.use_authority_key_identifier_extension = true;
        Validity::starting(now, AUTHORITY_LIFETIME_MS).within(self.certificate.validity).write(&mut params);

        let root_der = self.certificate.der().into();
        let issuer = Issuer::from_ca_cert_der(&root_der, RemoteP256::new(&self.key))?;
        let der = params.signed_by(&RemoteP256::new(&key), &issuer)?.der().to_vec();
        Authority::from_parts(der, key)
    }
}

/// No name constraints: webpki cannot judge URI constraints and fails closed on them.
fn ca_params(trust_domain: &TrustDomain, below: u8) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn name(cluster: ClusterId, common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, cluster.to_string());
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests;
