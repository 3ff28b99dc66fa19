use super::*;
use crate::Tpm;

#[test]
fn a_fresh_tpm_answers_and_its_certificates_exist_and_it_ends_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let soft = SoftTpm::fresh(&dir.path().join("ca"), &dir.path().join("tpm")).unwrap();
    let authority = EkAuthority::open(&dir.path().join("ca")).unwrap();
    assert_ne!(authority.root_der().unwrap(), authority.intermediate_der().unwrap());
    let tcti = soft.tcti();
    drop(Tpm::open(&tcti).unwrap());
    drop(soft);
    assert!(matches!(Tpm::open(&tcti), Err(crate::TpmError::Unreachable { .. })));
}

#[test]
fn a_directory_without_a_tpm_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(SoftTpm::start(&file.join("tpm")), Err(SoftTpmError::File { .. })));
}
