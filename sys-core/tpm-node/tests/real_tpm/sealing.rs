use holdfast_keys::Secret32;
use holdfast_tpm_node::TpmError;
use holdfast_tpm_verify::wrap;

use super::support::{Machine, Operators};

const KEY: [u8; 32] = [0x5a; 32];

fn refused<T>(outcome: &Result<T, TpmError>) -> bool {
    matches!(outcome, Err(TpmError::Refused { .. } | TpmError::Rejected { .. }))
}

#[tokio::test]
async fn a_wrapped_key_opens_here_and_its_sealed_form_opens_after_every_reboot_into_the_same_state() {
    let mut machine = Machine::new().await;
    let operators = Operators::new();
    machine.boot().await;
    let proof = operators.approve(machine.pcrs().await);
    let wrapped = wrap::wrap_key(&machine.target(), &proof.sealing_policy(), &KEY).unwrap();
    let (key, sealed) = machine.tpm.unwrap_key(wrapped, proof.clone()).await.unwrap();
    assert_eq!(key.expose_for_wrapping(), &KEY);

    machine.soft.restart().unwrap();
    machine.boot().await;
    let key = machine.tpm.unseal(sealed, proof).await.unwrap();
    assert_eq!(key.expose_for_wrapping(), &KEY);
}

#[tokio::test]
async fn a_changed_boot_is_refused_until_the_operators_approve_it() {
    let machine = Machine::new().await;
    let operators = Operators::new();
    machine.boot().await;
    let proof = operators.approve(machine.pcrs().await);
    let wrapped = wrap::wrap_key(&machine.target(), &proof.sealing_policy(), &KEY).unwrap();
    let sealed = machine.tpm.seal_local(Secret32::from_bytes(KEY), &proof).await.unwrap();

    machine.tpm.extend_pcr(11, [0xee; 32]).await.unwrap();
    assert!(refused(&machine.tpm.unwrap_key(wrapped.clone(), proof.clone()).await));
    assert!(refused(&machine.tpm.unseal(sealed.clone(), proof).await));

    let approved = operators.approve(machine.pcrs().await);
    assert!(machine.tpm.unwrap_key(wrapped, approved.clone()).await.is_ok());
    assert!(machine.tpm.unseal(sealed, approved).await.is_ok());
}

#[tokio::test]
async fn approvals_of_others_and_of_other_epochs_open_nothing() {
    let machine = Machine::new().await;
    let operators = Operators::new();
    let proof = operators.approve_epoch(machine.pcrs().await, 2);
    let sealed = machine.tpm.seal_local(Secret32::from_bytes(KEY), &proof).await.unwrap();
    for wrong in [
        Operators::new().approve_epoch(machine.pcrs().await, 2),
        operators.approve_epoch(machine.pcrs().await, 1),
        operators.approve_epoch(machine.pcrs().await, 3),
    ] {
        assert!(refused(&machine.tpm.unseal(sealed.clone(), wrong).await));
    }
    assert!(machine.tpm.unseal(sealed, proof).await.is_ok());
}

#[tokio::test]
async fn another_tpm_opens_nothing_of_ours() {
    let (machine, thief) = (Machine::new().await, Machine::new().await);
    let operators = Operators::new();
    let proof = operators.approve(machine.pcrs().await);
    assert_eq!(machine.pcrs().await, thief.pcrs().await);
    let wrapped = wrap::wrap_key(&machine.target(), &proof.sealing_policy(), &KEY).unwrap();
    let sealed = machine.tpm.seal_local(Secret32::from_bytes(KEY), &proof).await.unwrap();
    assert!(refused(&thief.tpm.unwrap_key(wrapped, proof.clone()).await));
    assert!(refused(&thief.tpm.unseal(sealed, proof.clone()).await));

    // A TPM with the right EK but another AK or SRK in the wrap: each part is bound to the others.
    let mixed = holdfast_tpm_verify::TpmTarget { ek: &thief.keys.ek, ..machine.target() };
    let wrapped = wrap::wrap_key(&mixed, &proof.sealing_policy(), &KEY).unwrap();
    assert!(refused(&thief.tpm.unwrap_key(wrapped.clone(), proof.clone()).await));
    assert!(refused(&machine.tpm.unwrap_key(wrapped, proof).await));
}

#[tokio::test]
async fn damaged_wraps_are_refused_and_do_not_harm_the_tpm() {
    let machine = Machine::new().await;
    let proof = Operators::new().approve(machine.pcrs().await);
    let wrapped = wrap::wrap_key(&machine.target(), &proof.sealing_policy(), &KEY).unwrap();
    for part in 0..4 {
        let mut damaged = wrapped.clone();
        match part {
            0 => damaged.credential.id_object[40] ^= 1,
            1 => damaged.credential.enc_secret[40] ^= 1,
            2 => damaged.sealed[40] ^= 1,
            _ => damaged.credential.enc_secret = vec![1; 4096],
        }
        assert!(refused(&machine.tpm.unwrap_key(damaged, proof.clone()).await), "part {part}");
    }
    assert!(machine.tpm.unwrap_key(wrapped, proof).await.is_ok());
}
