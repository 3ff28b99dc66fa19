//! Blobs and credentials against tpm2-tools: what ours make, theirs open, and the other way round.

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_domain::CredentialBlob;
use holdfast_tpm_node::NodeKeys;
use holdfast_tpm_node::swtpm::SoftTpm;
use holdfast_tpm_verify::{ImportBlob, credential, import, signature};

use super::support::{Machine, Operators, selection};

const SECRET: [u8; 32] = [0xab; 32];
const AK: &str = "0x81014801";
const SRK: &str = "0x81004801";
const RSA_EK: &str = "0x81010001";

/// Runs tpm2-tools in a directory of its own.
struct Tools {
    dir: PathBuf,
    tcti: String,
}

impl Tools {
    fn new(dir: &Path, soft: &SoftTpm) -> Self {
        let dir = dir.join("tools");
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, tcti: soft.tcti() }
    }

    fn run(&self, line: &str) -> Vec<u8> {
        let mut words = line.split_whitespace();
        let output = Command::new(words.next().unwrap())
            .args(words)
            .current_dir(&self.dir)
            .env("TPM2TOOLS_TCTI", &self.tcti)
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Frees the slots that the last tools left taken.
    fn flush(&self) {
        self.run("tpm2_flushcontext -t");
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(name)).unwrap()
    }
}

/// A TPM2B around content.
fn sized(content: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(content);
    out
}

fn take_sized(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let (length, rest) = bytes.split_at(2);
    let (content, rest) = rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
    (content.to_vec(), rest)
}

/// tpm2-tools' credential file: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
const CREDENTIAL_HEADER: [u8; 8] = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];

#[tokio::test]
async fn their_credential_opens_with_our_activation() {
    let machine = Machine::new().await;
    let tools = Tools::new(machine.dir.path(), &machine.soft);
    tools.write("ek.pub", &sized(machine.keys.ek.public().as_bytes()));
    tools.write("secret", &SECRET);
    let name = machine.keys.ak.name();
    tools.run(&format!("tpm2_makecredential -Q -T none -u ek.pub -s secret -n {name} -o credential"));
    let file = tools.read("credential");
    let (id_object, rest) = take_sized(file.strip_prefix(&CREDENTIAL_HEADER).unwrap());
    let (enc_secret, rest) = take_sized(rest);
    assert!(rest.is_empty());
    let opened = machine.tpm.activate(CredentialBlob { id_object, enc_secret }).await.unwrap();
    assert_eq!(opened.expose_for_wrapping(), &SECRET);
}

#[tokio::test]
async fn our_credential_opens_with_their_activation() {
    let Machine { dir, soft, tpm, keys } = Machine::new().await;
    drop(tpm);
    let tools = Tools::new(dir.path(), &soft);
    let made = credential::make(&keys.ek, keys.ak.name(), &SECRET).unwrap();
    let file = [&CREDENTIAL_HEADER[..], &sized(made.id_object()), &sized(made.enc_secret())].concat();
    tools.write("credential", &file);
    tools.run("tpm2_startauthsession --policy-session -S session");
    tools.run("tpm2_policysecret -Q -S session -c e");
    tools.run(&format!(
        "tpm2_activatecredential -Q -c {AK} -C {RSA_EK} -i credential -o secret -P session:session"
    ));
    assert_eq!(tools.read("secret"), SECRET);
}

#[tokio::test]
async fn our_import_blob_opens_with_their_import_under_the_signed_policy() {
    let machine = Machine::new().await;
    machine.boot().await;
    let proof = Operators::new().approve(machine.pcrs().await);
    let Machine { dir, soft, tpm, keys } = machine;
    drop(tpm);
    let tools = Tools::new(dir.path(), &soft);
    let NodeKeys { srk, .. } = &keys;
    let ImportBlob { obj_public, duplicate, in_sym_seed } =
        import::seal(srk, &proof.sealing_policy(), &SECRET).unwrap();
    tools.write("object.pub", &sized(&obj_public));
    tools.write("object.dup", &sized(&duplicate));
    tools.write("object.seed", &sized(&in_sym_seed));
    tools.run(&format!("tpm2_import -Q -C {SRK} -u object.pub -i object.dup -s object.seed -r object.priv"));

    let policy_key = proof.key();
    tools.write("policy.pub", &sized(policy_key.public().as_bytes()));
    tools
        .write("message", &[&proof.approved_policy().as_bytes()[..], proof.policy_ref().as_bytes()].concat());
    tools.write("signature", &signature::to_tpm(proof.signature()));
    tools.write("approved", proof.approved_policy().as_bytes());
    tools.write("reference", proof.policy_ref().as_bytes());
    tools.write("signer", policy_key.name().as_bytes());
    tools.run("tpm2_loadexternal -Q -C o -u policy.pub -c policy.ctx");
    tools.run("tpm2_verifysignature -Q -c policy.ctx -g sha256 -m message -s signature -t ticket");
    tools.flush();

    tools.run("tpm2_startauthsession --policy-session -S session");
    let pcrs: Vec<String> = selection().indices().iter().map(u8::to_string).collect();
    tools.run(&format!("tpm2_policypcr -Q -S session -l sha256:{}", pcrs.join(",")));
    tools.run("tpm2_policyauthorize -Q -S session -i approved -q reference -n signer -t ticket");
    tools.run(&format!("tpm2_load -Q -C {SRK} -u object.pub -r object.priv -c object.ctx"));
    assert_eq!(tools.run("tpm2_unseal -c object.ctx -p session:session"), SECRET);
}

#[tokio::test]
async fn our_quote_passes_their_check() {
    let machine = Machine::new().await;
    machine.boot().await;
    let transcript = [0x3c; 32];
    let quote = machine.tpm.quote(&selection(), transcript).await.unwrap();
    let tools = Tools::new(machine.dir.path(), &machine.soft);
    tools.write("ak.pub", &sized(machine.keys.ak.public().as_bytes()));
    tools.write("quote", &quote.attest);
    tools.write("signature", &quote.signature);
    let check = |extra: &[u8]| {
        let extra: String = extra.iter().map(|byte| format!("{byte:02x}")).collect();
        Command::new("tpm2_checkquote")
            .args(["-Q", "-u", "ak.pub", "-m", "quote", "-s", "signature", "-g", "sha256", "-q", &extra])
            .current_dir(&tools.dir)
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(check(&transcript));
    assert!(!check(&[0; 32]));
}
