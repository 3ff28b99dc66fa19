//! Certificates from files, PEM or DER, as vendors hand them out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Largest file read: a few dozen certificates.
const MAX_FILE: usize = 256 * 1024;

/// Why a file gives no certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFileError {
    /// The file system.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Far too large.
    #[error("{} is larger than {MAX_FILE} bytes: this is no certificate", .0.display())]
    TooLarge(PathBuf),
    /// Something else.
    #[error("{} holds no certificate, neither in PEM nor in DER", .0.display())]
    Content(PathBuf),
}

/// Reads all certificates of some files, in DER. What they say is for the verifier to judge.
///
/// # Errors
/// See [`CertificateFileError`].
pub fn read_certificates(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, CertificateFileError> {
    let mut certificates = Vec::new();
    for path in paths {
        certificates.extend(read_file(path)?);
    }
    Ok(certificates)
}

fn read_file(path: &Path) -> Result<Vec<Vec<u8>>, CertificateFileError> {
    let bytes =
        fs::read(path).map_err(|source| CertificateFileError::Read { path: path.to_owned(), source })?;
    if bytes.len() > MAX_FILE {
        return Err(CertificateFileError::TooLarge(path.to_owned()));
    }
    read(&bytes).ok_or_else(|| CertificateFileError::Content(path.to_owned()))
}

fn read(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    // DER begins with a SEQUENCE; PEM is text.
    if bytes.first() == Some(&0x30) {
        return Some(vec![bytes.to_vec()]);
    }
    let pem = CertificateDer::pem_slice_iter(bytes).map(|item| item.map(|der| der.to_vec()).ok());
    pem.collect::<Option<Vec<_>>>().filter(|certificates| !certificates.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_and_pem_are_read_and_other_files_refused() {
        assert_eq!(read(&[0x30, 1]).unwrap(), [vec![0x30, 1]]);
        let pem = b"-----BEGIN CERTIFICATE-----\nMAE=\n-----END CERTIFICATE-----\n";
        assert_eq!(read(pem).unwrap(), [vec![0x30, 1]]);
        assert!(read(b"hello").is_none());
        assert!(read(b"").is_none());
        let cut = b"-----BEGIN CERTIFICATE-----\nMAE=\n";
        assert!(read(cut).is_none());
    }
}
