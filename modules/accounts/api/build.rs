//! Compiles the module's `.proto`.

fn main() -> Result<(), holdfast_module_build::BuildError> {
    holdfast_module_build::compile("accounts")
}
