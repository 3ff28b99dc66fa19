//! Our private certificate extensions: which kind an authority is, which cluster a root, which home a client.
//!
//! None is marked critical, because webpki refuses critical extensions that it does not know. Nothing relies on
//! other people's verifiers: ours refuse a certificate in which a required extension is absent or repeated.

use holdfast_domain::{AccountId, ClusterId, Home};
use rcgen::CustomExtension;
use serde::{Deserialize, Serialize};
use x509_parser::{certificate::X509Certificate, der_parser::oid::Oid};

/// Arc 2.25 needs no registration; the number below it was drawn at random.
const AUTHORITY_KIND: [u64; 4] = [2, 25, 6_413_288_705_519_630_271, 1];
const CLUSTER: [u64; 4] = [2, 25, 6_413_288_705_519_630_271, 2];
const HOME: [u64; 4] = [2, 25, 6_413_288_705_519_630_271, 3];

/// DER header of an OCTET STRING with 16 bytes.
const OCTETS_16: [u8; 2] = [0x04, 16];
/// The same with 24 bytes: account and quota.
const OCTETS_24: [u8; 2] = [0x04, 24];

/// What an authority may vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AuthorityKind {
    /// `/registry/<id>` and nothing else.
    Registry,
    /// Every identity but `/registry/<id>`.
    Workload,
}

/// A private extension that is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// Twice in one certificate.
    #[error("extension {0} occurs more than once")]
    Repeated(&'static str),
    /// Not the one encoding we write.
    #[error("extension {0} is malformed")]
    Malformed(&'static str),
}

impl AuthorityKind {
    /// DER ENUMERATED.
    const fn der(self) -> [u8; 3] {
        match self {
            Self::Registry => [0x0a, 1, 1],
            Self::Workload => [0x0a, 1, 2],
        }
    }
}

pub(crate) fn write_authority_kind(kind: AuthorityKind) -> CustomExtension {
    CustomExtension::from_oid_content(&AUTHORITY_KIND, kind.der().to_vec())
}

pub(crate) fn write_cluster(cluster: ClusterId) -> CustomExtension {
    CustomExtension::from_oid_content(&CLUSTER, octets(cluster.as_bytes()))
}

pub(crate) fn write_home(home: Home) -> CustomExtension {
    let Home { account, quota_bytes } = home;
    let content = [OCTETS_24.as_slice(), account.as_bytes(), &quota_bytes.to_be_bytes()].concat();
    CustomExtension::from_oid_content(&HOME, content)
}

pub(crate) fn read_authority_kind(
    certificate: &X509Certificate<'_>,
) -> Result<Option<AuthorityKind>, ExtensionError> {
    const NAME: &str = "authority-kind";
    let Some(value) = find(certificate, &AUTHORITY_KIND, NAME)? else { return Ok(None) };
    let kinds = [AuthorityKind::Registry, AuthorityKind::Workload];
    let kind = kinds.into_iter().find(|kind| kind.der() == value);
    kind.map(Some).ok_or(ExtensionError::Malformed(NAME))
}

pub(crate) fn read_cluster(certificate: &X509Certificate<'_>) -> Result<Option<ClusterId>, ExtensionError> {
    read_id(certificate, &CLUSTER, "cluster").map(|id| id.map(ClusterId::new))
}

pub(crate) fn read_home(certificate: &X509Certificate<'_>) -> Result<Option<Home>, ExtensionError> {
    const NAME: &str = "home";
    let Some(value) = find(certificate, &HOME, NAME)? else { return Ok(None) };
    let content = value.strip_prefix(&OCTETS_24).and_then(|content| content.split_first_chunk::<16>());
    let home = content.and_then(|(account, quota)| {
        let quota_bytes = u64::from_be_bytes(quota.try_into().ok()?);
        Some(Home { account: AccountId::new(*account), quota_bytes })
    });
    home.map(Some).ok_or(ExtensionError::Malformed(NAME))
}

fn octets(id: &[u8; 16]) -> Vec<u8> {
    [OCTETS_16.as_slice(), id].concat()
}

fn read_id(
    certificate: &X509Certificate<'_>,
    oid: &[u64],
    name: &'static str,
) -> Result<Option<[u8; 16]>, ExtensionError> {
    let Some(value) = find(certificate, oid, name)? else { return Ok(None) };
    let id = value.strip_prefix(&OCTETS_16).and_then(|id| id.try_into().ok());
    id.map(Some).ok_or(ExtensionError::Malformed(name))
}

fn find<'a>(
    certificate: &'a X509Certificate<'_>,
    oid: &[u64],
    name: &'static str,
) -> Result<Option<&'a [u8]>, ExtensionError> {
    let oid = Oid::from(oid).map_err(|_| ExtensionError::Malformed(name))?;
    let found = certificate.get_extension_unique(&oid).map_err(|_| ExtensionError::Repeated(name))?;
    Ok(found.map(|extension| extension.value))
}
