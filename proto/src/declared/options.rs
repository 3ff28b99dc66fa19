//! Reading our options off descriptors.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, ReflectMessage as _};

use super::DeclareError;

pub(super) const RULE: &str = "holdfast.options.v1.rule";
pub(super) const MODULE: &str = "holdfast.options.v1.module";
pub(super) const ENTITY: &str = "holdfast.options.v1.entity";
pub(super) const ATTR: &str = "holdfast.options.v1.attr";

/// The options that a descriptor set defines.
pub(super) struct Options<'a>(&'a DescriptorPool);

impl<'a> Options<'a> {
    /// # Errors
    /// When the set does not even define rules.
    pub(super) fn of(pool: &'a DescriptorPool) -> Result<Self, DeclareError> {
        pool.get_extension_by_name(RULE).map(|_| Self(pool)).ok_or(DeclareError::NoOption)
    }

    /// An option's value among all options of `of`.
    pub(super) fn read<T: Message + Default>(
        &self,
        name: &'static str,
        of: &str,
        options: &DynamicMessage,
    ) -> Result<Option<T>, DeclareError> {
        let Some(option) = self.0.get_extension_by_name(name).filter(|option| options.has_extension(option))
        else {
            return Ok(None);
        };
        let unknown = || DeclareError::Option { of: of.to_owned(), option: name };
        whole(options, &option).map(Some).ok_or_else(unknown)
    }
}

/// The value as our type, if that loses nothing.
fn whole<T: Message + Default>(options: &DynamicMessage, option: &ExtensionDescriptor) -> Option<T> {
    let value = options.get_extension(option);
    let message = value.as_message()?;
    debug_assert_eq!(message.descriptor().parent_pool(), option.parent_pool());
    let bytes = message.encode_to_vec();
    let read = T::decode(bytes.as_slice()).ok()?;
    (read.encode_to_vec() == bytes).then_some(read)
}
