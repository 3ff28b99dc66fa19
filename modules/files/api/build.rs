//! Compiles the module's `.proto` without protoc; the options come from the platform's folder.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut compiler = protox::Compiler::new([".", "../../../proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(["holdfast/files/v1/files.proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".holdfast.options.v1", "::holdfast_proto::options::v1")
        .extern_path(".holdfast.module.v1", "::holdfast_proto::module::v1")
        .compile_fds(compiler.file_descriptor_set())?;
    println!("cargo:rerun-if-changed=holdfast");
    println!("cargo:rerun-if-changed=../../../proto/holdfast/options");
    println!("cargo:rerun-if-changed=../../../proto/holdfast/module");
    Ok(())
}
