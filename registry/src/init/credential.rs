//! The first operator's credential directory, as `holdfast operator use` takes it.

use std::path::Path;

use holdfast_domain::codec;
use holdfast_keys::{SoftSigner, secret_file::write_secret};
use serde::Serialize;

use super::{
    InitError, InitOptions,
    found::{Founding, FoundingKeys},
    shares::{check_empty, make_private},
};

const STEP: &str = "the operator's credential";

#[derive(Serialize)]
struct OperatorToml<'a> {
    version: u32,
    cluster: String,
    trust_domain: String,
    root_hash: String,
    registries: [&'a str; 1],
    name: &'a str,
}

pub(super) fn check_new(path: &Path) -> Result<(), InitError> {
    check_empty(path, STEP)
}

pub(super) fn write(
    options: &InitOptions<'_>,
    founding: &Founding,
    keys: &FoundingKeys,
) -> Result<(), InitError> {
    let dir = options.credential;
    make_private(dir, STEP)?;
    let put = |name: &str, bytes: &[u8]| write_secret(&dir.join(name), bytes).map_err(InitError::at(STEP));
    let pem = |key: &SoftSigner| key.expose_pkcs8_pem().map_err(InitError::at(STEP));
    put("operator.key", pem(&keys.operator)?.as_bytes())?;
    put("pcr-policy.key", pem(&keys.policy)?.as_bytes())?;
    put("operator.chain", &codec::encode(&founding.operator_chain).map_err(InitError::at(STEP))?)?;
    put("genesis", &codec::encode(&founding.genesis).map_err(InitError::at(STEP))?)?;
    put("root.der", &founding.root_der)?;
    let settings = OperatorToml {
        version: 1,
        cluster: founding.cluster().to_string(),
        trust_domain: options.trust_domain.to_string(),
        root_hash: founding.root.to_string(),
        registries: [options.advertise],
        name: options.operator.as_str(),
    };
    put("operator.toml", toml::to_string(&settings).map_err(InitError::at(STEP))?.as_bytes())
}
