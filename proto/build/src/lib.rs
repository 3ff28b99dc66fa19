//! What a module's API crate calls from its `build.rs`: its `.proto`, without protoc, to Rust.
//!
//! Invariants: descriptors are kept as the compiler encoded them, custom options included; each message that declares to be an entity is
//! `holdfast_proto::module::Stored`, and nothing else is.

mod entities;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

pub use entities::EntityError;

/// Where the platform's own `.proto` files are.
const PLATFORM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Why a module's API does not build.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The `.proto` is wrong: the text has file and line.
    #[error("{0}")]
    Proto(String),
    /// An entity that Rust code cannot be made for.
    #[error(transparent)]
    Entity(#[from] EntityError),
    /// No build script, or its folder is not writable.
    #[error("what the build script was given")]
    Io(#[from] io::Error),
}

/// Compiles `holdfast/<module>/v1/<module>.proto` of the crate that is built. Its `lib.rs` includes the result:
///
/// ```text
/// pub mod v1 {
///     tonic::include_proto!("holdfast.<module>.v1");
/// }
///
/// pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
/// ```
///
/// # Errors
/// See [`BuildError`].
pub fn compile(module: &str) -> Result<(), BuildError> {
    let out = PathBuf::from(
        env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR: not a build script"))?,
    );
    generate(Path::new("."), module, &out)?;
    #[expect(clippy::print_stdout, reason = "cargo reads it")]
    for watched in ["holdfast".to_owned(), format!("{PLATFORM}/holdfast")] {
        println!("cargo:rerun-if-changed={watched}");
    }
    Ok(())
}

/// The same from and to any folder.
///
/// # Errors
/// See [`BuildError`].
pub fn generate(root: &Path, module: &str, out: &Path) -> Result<(), BuildError> {
    // Printed by `main` as `Debug`: this text is what the author sees.
    let broken = |error: protox::Error| BuildError::Proto(format!("{error:?}"));
    let mut compiler = protox::Compiler::new([root, Path::new(PLATFORM)]).map_err(broken)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(format!("holdfast/{module}/v1/{module}.proto")).map_err(broken)?;
    let descriptors = compiler.encode_file_descriptor_set();
    let package = format!("holdfast.{module}.v1");
    let stored = entities::stored(&descriptors, &package)?;
    fs::write(out.join("descriptors.bin"), &descriptors)?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("::holdfast_proto::Codec")
        .extern_path(".holdfast.options.v1", "::holdfast_proto::options::v1")
        .extern_path(".holdfast.module.v1", "::holdfast_proto::module::v1")
        .out_dir(out)
        .compile_fds(compiler.file_descriptor_set())?;
    let code = out.join(format!("{package}.rs"));
    let generated = fs::read_to_string(&code)?;
    Ok(fs::write(code, generated + &stored)?)
}

#[cfg(test)]
mod tests;
