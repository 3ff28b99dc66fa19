use holdfast_keys::sign::Signer as _;
use holdfast_tpm_node::swtpm::SoftTpm;
use holdfast_tpm_node::{EkKind, ProvisionOptions, Tpm, TpmError, TpmSigner};

use super::support::{Machine, ca_dir, options};

#[tokio::test]
async fn the_keys_are_the_same_after_reopening_and_after_a_reboot() {
    let mut machine = Machine::new().await;
    assert!(machine.keys.ek_certificate.is_some());
    let again = machine.tpm.provision(options(machine.dir.path())).await.unwrap();
    machine.soft.restart().unwrap();
    let rebooted =
        Tpm::open(&machine.soft.tcti()).unwrap().provision(options(machine.dir.path())).await.unwrap();
    for keys in [again, rebooted] {
        assert_eq!(keys.ek, machine.keys.ek);
        assert_eq!(keys.ak, machine.keys.ak);
        assert_eq!(keys.srk, machine.keys.srk);
        assert_eq!(keys.tls, machine.keys.tls);
        assert_eq!(keys.ek_certificate, machine.keys.ek_certificate);
    }
}

#[tokio::test]
async fn the_signer_signs_with_the_certified_key_also_across_a_reboot() {
    let mut machine = Machine::new().await;
    let signer = TpmSigner::new(machine.tpm.clone(), &machine.keys);
    let signer = std::sync::Arc::new(signer);
    for _ in 0..2 {
        let signer = signer.clone();
        let (public, signature) =
            tokio::task::spawn_blocking(move || (signer.public(), signer.sign(b"message").unwrap()))
                .await
                .unwrap();
        assert_eq!(public, *machine.keys.tls.key());
        public.verify_raw(b"message", &signature).unwrap();
        assert!(public.verify_raw(b"another", &signature).is_err());
        // The next round finds the TPM again, and the key that it had loaded gone.
        machine.soft.restart().unwrap();
    }
}

#[tokio::test]
async fn a_tls_key_of_another_tpm_is_told_apart() {
    let machine = Machine::new().await;
    let other = tempfile::tempdir().unwrap();
    let soft = SoftTpm::fresh(&ca_dir(), &other.path().join("tpm")).unwrap();
    let tpm = Tpm::open(&soft.tcti()).unwrap();
    let outcome = tpm.provision(options(machine.dir.path())).await;
    assert!(matches!(outcome, Err(TpmError::ForeignBlob { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_tpm_put_in_the_place_of_ours_is_noticed() {
    let mut machine = Machine::new().await;
    machine.soft.stop();
    let state = machine.soft.state_dir().to_owned();
    let other = tempfile::tempdir().unwrap();
    drop(SoftTpm::fresh(&ca_dir(), other.path()).unwrap());
    std::fs::copy(other.path().join("tpm2-00.permall"), state.join("tpm2-00.permall")).unwrap();
    machine.soft.restart().unwrap();
    let outcome = machine.tpm.certify_srk([0; 32]).await;
    assert!(
        matches!(
            outcome,
            Err(TpmError::Occupied { .. } | TpmError::NotProvisioned | TpmError::Refused { .. })
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn every_kind_of_ek_works_and_each_is_another_machine() {
    let machine = Machine::with_ek(Some(EkKind::Rsa2048)).await;
    let mut hashes = vec![machine.keys.ek.hash()];
    for ek in [EkKind::EccP256, EkKind::EccP384] {
        let options = ProvisionOptions { ek: Some(ek), ..options(machine.dir.path()) };
        let keys = machine.tpm.provision(options).await.unwrap();
        // swtpm certifies its P-384 key, and has none for P-256.
        assert_eq!(keys.ek_certificate.is_some(), ek == EkKind::EccP384);
        hashes.push(keys.ek.hash());
        let secret = [9; 32];
        let credential = holdfast_tpm_verify::credential::make(&keys.ek, keys.ak.name(), &secret).unwrap();
        let opened = machine.tpm.activate(credential.into()).await.unwrap();
        assert_eq!(opened.expose_for_wrapping(), &secret, "{ek:?}");
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 3);
}

#[tokio::test]
async fn nothing_works_before_provisioning() {
    let dir = tempfile::tempdir().unwrap();
    let soft = SoftTpm::fresh(&ca_dir(), dir.path()).unwrap();
    let tpm = Tpm::open(&soft.tcti()).unwrap();
    assert!(matches!(tpm.certify_tls([0; 32]).await, Err(TpmError::NotProvisioned)));
}
