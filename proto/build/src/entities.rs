//! The messages that declare to be entities.

use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor};

/// The option that makes a message an entity.
const ENTITY_OPTION: &str = "holdfast.options.v1.entity";

/// An entity that Rust code cannot be made for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntityError {
    /// What the compiler wrote is no descriptor set.
    #[error("the descriptors")]
    Descriptors(#[from] DescriptorError),
    /// A message inside of another.
    #[error("{0} is an entity: move it to the top level of its file")]
    Nested(String),
    /// Rust would spell it in another way.
    #[error("{0} is an entity: write its name with one capital a word, like HttpNote")]
    Name(String),
}

/// `impl Stored` for each entity of a package.
pub(crate) fn stored(descriptors: &[u8], package: &str) -> Result<String, EntityError> {
    let pool = DescriptorPool::decode(descriptors)?;
    let Some(option) = pool.get_extension_by_name(ENTITY_OPTION) else { return Ok(String::new()) };
    let messages = pool.all_messages().filter(|message| message.package_name() == package);
    messages.filter(|message| message.options().has_extension(&option)).map(|message| one(&message)).collect()
}

fn one(message: &MessageDescriptor) -> Result<String, EntityError> {
    let (full, name) = (message.full_name(), message.name());
    if message.parent_message().is_some() {
        return Err(EntityError::Nested(full.to_owned()));
    }
    if !is_rusts(name) {
        return Err(EntityError::Name(full.to_owned()));
    }
    Ok(format!(
        "impl ::holdfast_proto::module::Stored for {name} {{\n    \
             const DESCRIPTORS: &'static [u8] = crate::DESCRIPTORS;\n    \
             const NAME: &'static str = \"{full}\";\n}}\n"
    ))
}

/// Whether the generated type has exactly this name: a capital, and no two of them in a row.
fn is_rusts(name: &str) -> bool {
    let capital = |at: &u8| at.is_ascii_uppercase();
    name.as_bytes().first().is_some_and(capital)
        && name.bytes().all(|at| at.is_ascii_alphanumeric())
        && !name.as_bytes().windows(2).any(|pair| pair.iter().all(capital))
}
