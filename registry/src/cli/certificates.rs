//! Certificates from files, PEM or DER.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Largest file read: a few dozen certificates.
const MAX_FILE: usize = 256 * 1024;

pub(super) fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    for path in paths {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        if bytes.len() > MAX_FILE {
            bail!("{} is larger than {MAX_FILE} bytes: this is no certificate", path.display());
        }
        certificates.extend(read(&bytes).with_context(|| format!("{}", path.display()))?);
    }
    Ok(certificates)
}

fn read(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    // DER begins with a SEQUENCE; PEM is text.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.to_vec()]);
    }
    let pem = CertificateDer::pem_slice_iter(bytes).map(|item| Ok(item?.to_vec()));
    let certificates: Vec<_> = pem.collect::<anyhow::Result<_>>().context("not a PEM certificate")?;
    if certificates.is_empty() { bail!("neither PEM nor DER") } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_and_pem_are_read_and_other_files_refused() {
        assert_eq!(read(&[0x30, 1]).unwrap(), [vec![0x30, 1]]);
        let pem = b"-----BEGIN CERTIFICATE-----\nMAE=\n-----END CERTIFICATE-----\n";
        assert_eq!(read(pem).unwrap(), [vec![0x30, 1]]);
        assert!(read(b"hello").is_err());
        assert!(read(b"").is_err());
    }
}
