//! Compiles the platform's `.proto` files without protoc, and keeps their descriptors as bytes.

use std::{env, fs, path::PathBuf};

const FILES: &[&str] = &[
    "holdfast/options/v1/rule.proto",
    "holdfast/options/v1/module.proto",
    "holdfast/module/v1/route.proto",
    "holdfast/module/v1/capabilities.proto",
    "holdfast/data/v1/data.proto",
    "holdfast/consensus/v1/raft.proto",
    "holdfast/registry/v1/enrolment.proto",
    "holdfast/registry/v1/directory.proto",
    "holdfast/registry/v1/custody.proto",
    "holdfast/registry/v1/clients.proto",
    "holdfast/registry/v1/accounts.proto",
    "holdfast/registry/v1/operators.proto",
    "holdfast/node/v1/peer.proto",
    "holdfast/node/v1/transfer.proto",
    "holdfast/node/v1/maps.proto",
    "holdfast/session/v1/session.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The compiler's own encoding keeps custom options; prost's types would drop them.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let set = compiler.file_descriptor_set();
    tonic_prost_build::configure().bytes(".").codec_path("crate::Codec").compile_fds(set)?;
    println!("cargo:rerun-if-changed=holdfast");
    Ok(())
}
