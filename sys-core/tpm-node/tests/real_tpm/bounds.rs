use std::process::Command;

use holdfast_keys::Secret32;
use holdfast_tpm_node::Tpm;
use holdfast_tpm_verify::{credential, wrap};

use super::support::{Machine, Operators, options, selection};

#[tokio::test]
async fn two_hundred_operations_good_and_bad_leave_every_slot_free() {
    let machine = Machine::new().await;
    let operators = Operators::new();
    let proof = operators.approve(machine.pcrs().await);
    let stranger = Operators::new().approve(machine.pcrs().await);
    let wrapped = wrap::wrap_key(&machine.target(), &proof.sealing_policy(), &[1; 32]).unwrap();
    let foreign = credential::make(&machine.keys.ek, machine.keys.srk.name(), &[2; 32]).unwrap();
    let mut refusals = 0;
    for round in 0..200 {
        let good = match round % 8 {
            0 => machine.tpm.quote(&selection(), [3; 32]).await.is_ok(),
            1 => machine.tpm.certify_tls([4; 32]).await.is_ok(),
            2 => machine.tpm.certify_srk([4; 32]).await.is_ok(),
            3 => machine.tpm.activate(foreign.clone().into()).await.is_ok(),
            4 => machine.tpm.unwrap_key(wrapped.clone(), proof.clone()).await.is_ok(),
            5 => machine.tpm.unwrap_key(wrapped.clone(), stranger.clone()).await.is_ok(),
            6 => machine.tpm.seal_local(Secret32::from_bytes([5; 32]), &proof).await.is_ok(),
            _ => machine.tpm.pcr_values(&selection()).await.is_ok(),
        };
        refusals += usize::from(!good);
    }
    assert_eq!(refusals, 50);
    // With a single slot leaked per kind of operation, none of these would find room.
    let (key, _) = machine.tpm.unwrap_key(wrapped, proof).await.unwrap();
    assert_eq!(key.expose_for_wrapping(), &[1; 32]);
}

#[tokio::test]
async fn what_others_left_loaded_is_cleaned_up_when_the_tpm_is_opened() {
    let Machine { dir, soft, tpm, .. } = Machine::new().await;
    drop(tpm);
    // tpm2-tools leave their objects and sessions behind on a TPM without resource manager.
    for round in 0..3 {
        let context = dir.path().join(format!("context{round}"));
        let tool = |name: &str, arguments: &[&str]| {
            let status = Command::new(name)
                .args(arguments)
                .arg(&context)
                .env("TPM2TOOLS_TCTI", soft.tcti())
                .output()
                .unwrap()
                .status;
            assert!(status.success(), "{name} {round}");
        };
        tool("tpm2_createprimary", &["-Q", "-C", "o", "-c"]);
        tool("tpm2_startauthsession", &["-S"]);
    }
    let tpm = Tpm::open(&soft.tcti()).unwrap();
    tpm.provision(options(dir.path())).await.unwrap();
    assert!(tpm.certify_tls([0; 32]).await.is_ok());
}
