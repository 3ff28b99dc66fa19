//! The known-answer vector of the design, byte for byte.

use holdfast_domain::{PcrSelection, PcrValue};
use sha2::{Digest, Sha256};

use crate::attest::{Attest, Body};
use crate::credential::make_for;
use crate::import::{SealPolicy, seal_for};
use crate::parent::Freshness;
use crate::policy::{CC_UNSEAL, pcr_policy};
use crate::{AkPublic, Name, Public, SrkPublic, pcr, signature};

const PARENT_PUB: &str = "0023000b0003047200000006008000430010000300100020b4ec0fdb83a0bd22d73961cf7cba8758eaa6ec8ecd63cd290afad51f94a4976600209722c8dd4d1181c8c111166d213fca7995f98afd35aeda0b754cf983518bec20";
const PARENT_NAME: &str = "000b3324159e0cc6395214969049943396fb6c472657b01d0051024fdbe72013163f";
const EPH_PRIV: &str = "c1f225fa225219e3d8df4ddffbdd4d8f3982bfe28e377460e1b89fd03649c44a";
const PCR_11: &str = "75cc5a6cce306fdcf64b2ee99424bbdb02dd7caf98e4e18ca05d32a480448bb3";
const POLICY_PCR: &str = "6dd34cba3c50fd90a140f625567d8deaf2768080c214c4d05a4873dc838da965";
const POLICY_UNSEAL: &str = "7b357dae58a27ed069c7222f06140dded95dbc9771c27fe31d0ada661eae0ae0";
const OBFUSCATION: &str = "07360534c2581990e74aeffa5e19fc260eea5af2d26743e5e9bd34640cad8bd4";
const DATA: &str = "89c6c4565fd9ef2020c518d43b193350acdbe4adbd9de69c613045d0fcb0a1a6";
const OBJ_PUBLIC: &str = "0008000b0000048000206dd34cba3c50fd90a140f625567d8deaf2768080c214c4d05a4873dc838da96500100020476335cf872391cbd12832fb0ff40ae57a36943405557eb404afb49f2e112c4f";
const OBJ_NAME: &str = "000b99a7aaf681b05eb824e3014a805a162c46abef49d01b25df4323c25fcdf40169";
const DUPLICATE: &str = "002095ca6d6119808bbd10a23a749e3e5610d9564c30f01a9684c938c102f0258315234276e0e509464565ea5d3dee058af2967a4ea2c3e5628adad510f365ccba391c2332b517e0a41241f8dfe5ee001ea55d3e1601b32c2bfd14b60aefaedd4d084bb11aee5cc7ef4392e2";
const IN_SYM_SEED: &str = "0020a79cf25a0611cb27924fd1233c466a223d5c718559c83285e6d464ae2ec6217f00208ed57b59442791bd8e0d3210d40c1b3d5083831154d4a001bc4f611c10289f7f";
const ID_OBJECT: &str = "00204e74729d30fa33f2e02004aed86691862675b273c5796e1240e611f3ec51e9a1f4fe743216eafd89a197ac0ed8db6ba99b216ab47dc3eb779d86a06c6af1ed00e130";
pub(crate) const AK_PUB: &str = "0023000b00050072000000100018000b0003001000203a834d504e7bd97ca3555e53f02ffcdfccc2670651e3c356bb25327bc36a210d00207f983240320f0eb11c6bd3224816db11c8dc3da30017748ce139db40ede0a3e5";
pub(crate) const ATT: &str = "ff54434780180022000b1073f3772e8b723f6843700fc022d34bf85207ac228d5b4c5cc662df78c17c98002000112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00000000000006e0000000010000000001201910230016363600000001000b038100000020f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b";
pub(crate) const SIG: &str = "0018000b0020b40355c24b7fc6c36e15ee4aa7bae87ef176e5f3cf414ad758663956dc4a2d350020be50869f66cf4c405b5f1b6467a67d667c746aeb5c3d2370ff58de1b1e0f2ed6";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn array(text: &str) -> [u8; 32] {
    bytes(text).try_into().unwrap()
}

fn parent() -> Public {
    Public::parse(&bytes(PARENT_PUB)).unwrap()
}

fn selection(indices: &[u8]) -> PcrSelection {
    PcrSelection::try_from(indices.to_vec()).unwrap()
}

fn pcrs_7_and_11() -> [PcrValue; 2] {
    [PcrValue { index: 7, digest: [0; 32] }, PcrValue { index: 11, digest: array(PCR_11) }]
}

#[test]
fn the_parent_is_an_srk_of_the_expected_name() {
    let srk = SrkPublic::new(parent()).unwrap();
    assert_eq!(srk.name().to_string(), PARENT_NAME);
    let private = p256::SecretKey::from_slice(&Sha256::digest(b"amplify test parent key")).unwrap();
    let sec1 = private.public_key().to_sec1_bytes();
    assert!(srk.public().spki_der().unwrap().ends_with(&sec1));
}

#[test]
fn pcr_policies_match() {
    let policy = pcr_policy(&selection(&[7, 11]), &pcrs_7_and_11()).unwrap();
    assert_eq!(hex::encode(policy.as_bytes()), POLICY_PCR);
    assert_eq!(hex::encode(policy.and_command(CC_UNSEAL).as_bytes()), POLICY_UNSEAL);
}

#[test]
fn the_import_blob_matches() {
    let policy = pcr_policy(&selection(&[7, 11]), &pcrs_7_and_11()).unwrap();
    let ephemeral = bytes(EPH_PRIV);
    let blob = seal_for(
        &parent(),
        &SealPolicy::Policy(&policy),
        &bytes(DATA),
        &array(OBFUSCATION),
        &Freshness::Fixed(&ephemeral),
    )
    .unwrap();
    assert_eq!(hex::encode(&blob.obj_public), OBJ_PUBLIC);
    assert_eq!(Public::parse(&blob.obj_public).unwrap().name().to_string(), OBJ_NAME);
    assert_eq!(hex::encode(&blob.duplicate), DUPLICATE);
    assert_eq!(hex::encode(&blob.in_sym_seed), IN_SYM_SEED);
}

#[test]
fn a_sealed_object_without_policy_has_the_other_attributes() {
    let blob = seal_for(&parent(), &SealPolicy::None, &bytes(DATA), &array(OBFUSCATION), &Freshness::Random)
        .unwrap();
    let public = Public::parse(&blob.obj_public).unwrap();
    assert_eq!((public.attributes(), public.auth_policy()), (0x440, &[][..]));
}

#[test]
fn the_credential_matches() {
    let object = Name::parse(&bytes(OBJ_NAME)).unwrap();
    let ephemeral = bytes(EPH_PRIV);
    let credential = make_for(&parent(), &object, &bytes(DATA), &Freshness::Fixed(&ephemeral)).unwrap();
    assert_eq!(hex::encode(credential.id_object()), ID_OBJECT);
    assert_eq!(hex::encode(credential.enc_secret()), IN_SYM_SEED);
}

#[test]
fn the_quote_passes_lines_10_11_and_14_and_fails_15() {
    let ak = AkPublic::new(Public::parse(&bytes(AK_PUB)).unwrap()).unwrap();
    let attest = Attest::parse(&bytes(ATT)).unwrap();
    let signature = signature::parse(&bytes(SIG)).unwrap();
    ak.key().verify_raw(&bytes(ATT), &signature).unwrap();
    assert_eq!(attest.extra_data, bytes("00112233445566778899aabbccddeeff").repeat(2));
    let Body::Quote { selection: quoted, digest } = attest.body else { panic!("a quote") };
    assert_eq!(quoted, selection(&[0, 7]));
    let values = [0, 7].map(|index| PcrValue { index, digest: [0; 32] });
    assert_eq!(pcr::digest(&quoted, &values).unwrap(), digest);
    assert!(values.iter().all(|value| !pcr::is_measured(value)));
}

#[test]
fn signatures_go_back_to_the_tpms_form() {
    assert_eq!(hex::encode(signature::to_tpm(&signature::parse(&bytes(SIG)).unwrap())), SIG);
}
