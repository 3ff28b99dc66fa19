//! Messages that are rows.

/// A message that its `.proto` declares an entity. `holdfast_module_build` writes this for each of them.
pub trait Stored: prost::Message + Default + 'static {
    /// The descriptors of its module, as the compiler encoded them.
    const DESCRIPTORS: &'static [u8];

    /// Its full name.
    const NAME: &'static str;
}
